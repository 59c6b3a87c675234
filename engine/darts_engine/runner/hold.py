"""How an engine holds its run: the folder and the lock, both by descriptor.

A name is no hold. While an engine is in a long phase its folder may be deleted and another run made
under the same name; the lock that it holds is then the lock of a folder that is gone. So the engine
reaches its run through the descriptor of the folder only, and compares it with what the path names
at every boundary and before everything that it writes.
"""

import contextlib
import os
import re
from pathlib import Path

from darts_engine.run import run_id
from darts_engine.run.errors import BusyError, LockError, NotFoundError, UnsafeFileError
from darts_engine.run.folder import RunFolder
from darts_engine.run.lock import EngineRecord
from darts_engine.run.private_files import PrivateFolder
from darts_engine.run.run_id import RunRecord

# As in checkpoint.py, which imports torch.
MANIFEST = re.compile(r"^step-\d+-seq-(\d+)\.json\Z")
MAX_MANIFEST_BYTES = 1 << 20


class Hold:
    """A run that this process is the engine of.

    Args:
        path: the run folder.

    Attributes:
        folder: the run, reached through the descriptor.
        opened: the folder itself.
        is_lost: whether another engine has taken the run over. Nothing may be written any more.

    Raises:
        BusyError: another engine holds the run.
        LockError: the file system has no locks, or they fail.
        UnsafeFileError: the folder or its lock is a link, or of another user.
        OSError: there is no such folder, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        held = PrivateFolder.open(path)
        self.opened, self.folder, self.is_lost = held, RunFolder(path, held), False
        self._engine: EngineRecord | None = None
        try:
            self._lock = self.folder.take_lock()
        except BaseException:
            held.close()
            raise
        # Some network disks give a file another number every time: there, a name is all we have.
        self._has_numbers = held.is_at(path) and self._is_lock(held.stat(self.folder.lock.name))

    def close(self) -> None:
        """Let go of the run."""
        os.close(self._lock)
        self.opened.close()

    def enter(self, last_seq: int) -> RunRecord:
        """Record this process as the run's engine. Returns: which run it is.

        A run that began with a version up to 0.2.0 is given an id now, and one whose `run.json` was
        lost gets its own back.

        Args:
            last_seq: number of the last event in the log.
        """
        self.check()
        record = self.folder.read_record()
        if record is None:
            checkpoints = self._checkpoints()
            record = RunRecord(
                id=self._lost_id(checkpoints) or run_id.new_id(),
                unnamed_until=max([last_seq, *(seq for seq, _ in checkpoints)]),
            )
            self.folder.write_record(record)
        self._engine = self.folder.write_engine(record.id, last_seq)
        return record

    def _checkpoints(self) -> list[tuple[int, str]]:
        """The last event before each checkpoint and the id in it, the newest first."""
        found = []
        with (
            contextlib.suppress(OSError),
            self.opened.inner(self.folder.checkpoints.name) as checkpoints,
        ):
            for name in filter(None, map(MANIFEST.match, checkpoints.names())):
                with contextlib.suppress(OSError, UnsafeFileError):
                    content = checkpoints.read(name.string, MAX_MANIFEST_BYTES)
                    found.append((int(name[1]), run_id.repeated_in(content)))
        return sorted(found, reverse=True)

    def _lost_id(self, checkpoints: list[tuple[int, str]]) -> str:
        """The id that the last engine recorded, or the newest checkpoint that has one."""
        engine = self.folder.read_engine()
        if engine is not None and engine.run:
            return engine.run
        return next((run for _, run in checkpoints if run), "")

    def check(self) -> bool:
        """Make sure that the run's path still names this folder and this lock.

        Returns:
            Whether the lock was gone and had to be taken anew.

        Raises:
            NotFoundError: the folder was deleted, moved or renamed. Resume it from where it is.
            BusyError: another engine has taken the run over.
        """
        # Only "no such file" means gone: a network file system may raise other errors for a while,
        # and refuse a lock that was deleted. Whoever takes it first has the run.
        with contextlib.suppress(OSError, LockError):
            try:
                there = self.folder.path.lstat()
            except FileNotFoundError:
                raise self._gone() from None
            if not self._has_numbers:
                return False
            if (there.st_dev, there.st_ino) != self.opened.identity:
                raise self._gone()
            try:
                if self._is_lock(self.opened.stat(self.folder.lock.name)):
                    return False
            except FileNotFoundError:
                pass
            self._take_lock_again()
            return True
        return False

    def _is_lock(self, status: os.stat_result) -> bool:
        mine = os.fstat(self._lock)
        return (status.st_dev, status.st_ino) == (mine.st_dev, mine.st_ino)

    def _take_lock_again(self) -> None:
        """The lock was deleted or replaced: take the new one, unless another engine came first."""
        try:
            if self.folder.read_engine() not in (None, self._engine):
                raise self.folder.busy()
            lock = self.folder.take_lock()
        except BusyError as error:
            self.is_lost = True
            raise BusyError(
                "another engine has taken this run over, because its lock was deleted",
                where=error.where,
                remedy=error.remedy,
            ) from None
        os.close(self._lock)
        self._lock = lock

    def _gone(self) -> NotFoundError:
        return NotFoundError(
            "the run folder is gone: it was deleted, moved or renamed under its engine",
            where=str(self.folder.path),
            remedy="if it was moved, resume it from where it is now",
        )
