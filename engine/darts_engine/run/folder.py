"""The run folder: its paths, its lock, and how runs are made and found.

    runs/NAME/            mode 0700, its files 0600
      config.toml         the resolved settings
      run.json            the run's random id
      events.jsonl        what happened (the engine appends, others follow)
      commands.jsonl      commands (any process of the same user appends, the engine reads)
      engine.json         pid, host, boot id, start; its mtime is the heartbeat
      engine.lock         flock: one engine per run
      engine.log          the process's own stdout and stderr
      checkpoints/        the complete state
      exports/            pictures and tables

No other file builds paths of a run. Its files are opened through `PrivateFolder` only: a run that
came in an archive must not lead a program to other files of its user, nor hold it up.
"""

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from darts_engine.run import lock as locks
from darts_engine.run import run_id
from darts_engine.run.commands import Command
from darts_engine.run.commands import encode as encode_command
from darts_engine.run.errors import BusyError, ConfigError, NotFoundError, RunError
from darts_engine.run.lock import EngineRecord, of_this_process
from darts_engine.run.new_folder import make_new
from darts_engine.run.private_files import PrivateFolder
from darts_engine.run.run_id import RunRecord
from darts_engine.run.settings.config import MAX_BYTES, Config, from_toml, tables, to_toml

NAME_PATTERN = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}\Z")
LATEST = "latest"
HEARTBEAT_S = 1.0
STALLED_AFTER_S = 15.0
MAX_RECORD_BYTES = 64_000


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run. Making the object touches nothing on the disk.

    Args:
        path: the folder.
        held: the open folder, for its engine, which reaches it through this wherever it is now, and
            whatever another process has put in its place.
    """

    path: Path
    held: PrivateFolder | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The name of the run and of its folder."""
        return self.path.name

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.toml"

    @property
    def record(self) -> Path:
        """The run's id."""
        return self.path / run_id.NAME

    @property
    def events(self) -> Path:
        """The event log."""
        return self.path / "events.jsonl"

    @property
    def torn_events(self) -> Path:
        """Where half-written tails of the event log are moved to."""
        return self.path / "events.torn"

    @property
    def commands(self) -> Path:
        """The commands."""
        return self.path / "commands.jsonl"

    @property
    def engine(self) -> Path:
        """The record of the engine."""
        return self.path / "engine.json"

    @property
    def lock(self) -> Path:
        """The engine's lock."""
        return self.path / "engine.lock"

    @property
    def engine_log(self) -> Path:
        """The engine's stdout and stderr."""
        return self.path / "engine.log"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints and their manifests."""
        return self.path / "checkpoints"

    @property
    def exports(self) -> Path:
        """Pictures and tables."""
        return self.path / "exports"

    def open(self) -> PrivateFolder:
        """The run folder, opened: the held one, or the one that the path names now.

        Raises:
            UnsafeFileError: it is a link, or of another user.
            OSError: there is none, or it cannot be opened.
        """
        return PrivateFolder.open(self.path) if self.held is None else self.held.again()

    def refuse_unsafe(self) -> None:
        """Refuse the run if a file that its watchers open is none that they may open.

        Raises:
            UnsafeFileError: a file is no plain file of this user.
        """
        watched = (
            self.config, self.record, self.events, self.commands, self.engine, self.lock,
            self.engine_log,
        )  # fmt: skip
        with contextlib.suppress(OSError), self.open() as folder:
            for file in watched:
                with contextlib.suppress(FileNotFoundError):
                    folder.plain_stat(file.name)

    def config_text(self) -> str:
        """The config as it is written.

        Raises:
            ConfigError: it is missing or no text.
            UnsafeFileError: it is no plain file of this user, or is too large.
        """
        try:
            with self.open() as folder:
                return folder.read(self.config.name, MAX_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the config cannot be read: {error}", where=str(self.config)
            ) from None

    def config_as_written(self) -> dict[str, Any]:
        """The tables of the config, unchecked; raises as `config_text`, and if it is not TOML."""
        return tables(self.config_text(), where=str(self.config))

    def read_config(self) -> Config:
        """The run's config.

        Raises:
            ConfigError: it is missing or wrong.
            UnsafeFileError: as `config_text`.
        """
        return from_toml(self.config_text(), where=str(self.config))

    def read_record(self) -> RunRecord | None:
        """The run's id; None if it has none, as before the first resume of an earlier version.

        Raises:
            UnsafeFileError: the file is no plain file of this user, or is too large.
        """
        try:
            with self.open() as folder:
                return run_id.decode(folder.read(self.record.name, run_id.MAX_BYTES))
        except OSError:
            return None

    def write_record(self, record: RunRecord) -> None:
        """Write the run's id."""
        with self.open() as folder:
            folder.replace(self.record.name, run_id.encode(record))

    def read_engine(self) -> EngineRecord | None:
        """The record of the newest engine; None before the first.

        Raises:
            UnsafeFileError: the file is no plain file of this user, or is too large.
        """
        try:
            with self.open() as folder:
                content = folder.read(self.engine.name, MAX_RECORD_BYTES)
            return msgspec.json.decode(content, type=EngineRecord)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def write_engine(self, run: str = "", after: int | None = None) -> EngineRecord:
        """Record this process as the engine of the run with this id. Returns: the record.

        Args:
            run: the run's id.
            after: number of the last event before this engine.
        """
        record = of_this_process(run, after)
        with self.open() as folder:
            folder.replace(self.engine.name, msgspec.json.encode(record))
        return record

    def beat(self) -> None:
        """Touch the heartbeat file."""
        with self.open() as folder:
            folder.touch(self.engine.name)

    def free_bytes(self) -> int:
        """Free space on the folder's disk."""
        with self.open() as folder:
            return shutil.disk_usage(folder.descriptor).free

    def heartbeat_s(self) -> float | None:
        """Unix seconds of the last heartbeat, by the clock of the file system; None before it."""
        return self._changed_s(self.engine)

    def heartbeat_age_s(self) -> float | None:
        """Seconds since the last heartbeat, as far as clocks agree; None before the first."""
        return self._age_s(self.engine)

    def age_s(self) -> float | None:
        """Seconds since the run was made; None if it has no config."""
        return self._age_s(self.config)

    def _age_s(self, file: Path) -> float | None:
        changed = self._changed_s(file)
        return None if changed is None else max(0.0, time.time() - changed)

    def _changed_s(self, file: Path) -> float | None:
        try:
            with self.open() as folder:
                return folder.plain_stat(file.name).st_mtime
        except OSError:
            return None

    def size_of(self, file: Path) -> int:
        """Length in bytes of a file of the run; 0 if there is none.

        Raises:
            UnsafeFileError: it is no plain file of this user.
        """
        try:
            with self.open() as folder:
                return folder.plain_stat(file.name).st_size
        except OSError:
            return 0

    def tail_of_engine_log(self, limit: int, start: int = 0) -> str:
        """The end of the engine's output: at most `limit` bytes, and none before byte `start`.

        Raises:
            UnsafeFileError: it is no plain file of this user.
        """
        try:
            with self.open() as folder:
                return folder.tail(self.engine_log.name, limit, start).decode("utf-8", "replace")
        except OSError:
            return ""

    def is_locked(self) -> bool:
        """Whether an engine holds the lock. An engine that is starting is not held up.

        Where the file system cannot say, a heartbeat says it: an engine is not taken for dead
        because a server of locks does not answer.
        """
        try:
            with self.open() as folder:
                descriptor = folder.open_to_read(self.lock.name)
            try:
                taken = locks.is_taken(descriptor)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return False
        except OSError:
            taken = None
        if taken is not None:
            return taken
        age = self.heartbeat_age_s()
        return age is not None and age <= STALLED_AFTER_S

    def take_lock(self) -> int:
        """Become the run's engine. Returns: a descriptor that holds the lock until it is closed.

        Raises:
            BusyError: another engine holds it. Attach to that one, or stop it.
            LockError: the file system has no locks, or they fail.
            UnsafeFileError: the lock is no plain file of this user.
        """
        with self.open() as folder:
            descriptor = folder.open_lock(self.lock.name)
        try:
            if not locks.take(descriptor, self.lock):
                raise self.busy()
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def busy(self) -> BusyError:
        """The error for an engine that finds the run held by another."""
        record = self.read_engine()
        # Whoever has just taken the lock has not written its record yet; this is then an older one.
        known = record is not None and not record.has_ended
        who = f"pid {record.pid} on {record.host}" if record and known else "another process"
        return BusyError(
            f"an engine already runs in {self.name} ({who})",
            where=str(self.path),
            remedy=f"watch it with 'darts-tui attach {self.name}', or stop it first",
        )

    def send(self, command: Command) -> None:
        """Append a command for the engine.

        Raises:
            RunError: the folder cannot be written.
        """
        try:
            with self.open() as folder:
                descriptor = folder.open_to_append(self.commands.name)
            try:
                os.write(descriptor, encode_command(command))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise RunError(
                f"the command cannot be written: {error.strerror}", where=str(self.commands)
            ) from None


def create(
    runs: Path, name: str | None, configuration: Config, made: Mapping[str, bytes] | None = None
) -> RunFolder:
    """Make the folder of a new run, with `made` files of a run from elsewhere.

    Without a name, it is named by kind and time.

    Raises:
        RunError: the name is not allowed or taken, or the folder cannot be made.
    """
    if name is not None and (not NAME_PATTERN.match(name) or name == LATEST):
        raise ConfigError(
            f"{name!r} cannot name a run",
            remedy="use 1 to 64 of a-z 0-9 . _ - with a letter or digit first; not latest",
        )
    kind = msgspec.to_builtins(configuration)["kind"]
    stem = name or f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    files = {
        run_id.NAME: run_id.encode(RunRecord(id=run_id.new_id())),
        "config.toml": to_toml(configuration).encode(),
    } | dict(made or {})
    try:
        for attempt in range(1, 100):
            folder = RunFolder(runs / (stem if attempt == 1 else f"{stem}-{attempt}"))
            try:
                make_new(folder.path, files, (folder.checkpoints.name, folder.exports.name))
                break
            except FileExistsError:
                if name is not None:
                    raise _taken(folder) from None
    except OSError as error:
        raise RunError(
            f"the run folder cannot be made: {error.strerror}",
            where=str(error.filename or runs),
            remedy="choose a writable folder with --runs DIR or DARTS_TUI_RUNS",
        ) from None
    return folder


def _taken(folder: RunFolder) -> RunError:
    if is_run(folder.path):
        return RunError(
            f"a run named {folder.name!r} already exists",
            where=str(folder.path),
            remedy=f"choose another --name, or go on with 'darts-tui resume {folder.name}'",
        )
    return RunError(
        f"the name {folder.name!r} is taken by something that is no run",
        where=str(folder.path),
        remedy="choose another --name, or remove that first",
    )


def is_run(path: Path) -> bool:
    """Whether a folder looks like a run that may be opened.

    A symbolic link or a folder of another user may not: its files could be swapped in between. What
    its config is shows when that is read.
    """
    try:
        status = path.lstat()
        RunFolder(path).config.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    except (OSError, ValueError):
        return False


def list_runs(runs: Path) -> list[RunFolder]:
    """All runs in a folder, the newest first. Those that are being made are hidden."""
    try:
        found = [path for path in runs.iterdir() if not path.name.startswith(".") and is_run(path)]
    except OSError:
        return []
    return [RunFolder(path) for path in sorted(found, key=_started, reverse=True)]


def _started(path: Path) -> tuple[float, str]:
    try:
        return RunFolder(path).config.lstat().st_mtime, path.name
    except OSError:
        return 0.0, path.name


def find(runs: Path, reference: str | None) -> RunFolder:
    """The run with a name or path; "latest" and None are the newest.

    Raises:
        NotFoundError: there is none.
        UnsafeFileError: one of its files is no plain file of this user.
    """
    folder = _find(runs, reference)
    folder.refuse_unsafe()
    return folder


def _find(runs: Path, reference: str | None) -> RunFolder:
    if reference == "":
        # As from a script with an unset variable: no run is meant, least of all to be stopped.
        raise NotFoundError(
            "the name of the run is empty", where=str(runs), remedy="'darts-tui runs' lists them"
        )
    if reference is None or reference == LATEST:
        newest = list_runs(runs)
        if not newest:
            raise NotFoundError(
                "there are no runs yet", where=str(runs), remedy="start one with 'darts-tui search'"
            )
        return newest[0]
    for path in (
        (runs / reference, Path(reference)) if NAME_PATTERN.match(reference) else (Path(reference),)
    ):
        if is_run(path):
            return RunFolder(path.resolve())
    raise NotFoundError(
        f"there is no run {reference!r}", where=str(runs), remedy="'darts-tui runs' lists them"
    )
