"""Who holds a run: a lock on a file, and the record of the process that took it.

One process holds a lock, and the kernel frees it when that process ends.

Some file systems that reach over a network have no locks, or lose the server that keeps them. What
they say then is neither "held" nor "free": nothing is begun there.
"""

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

import msgspec

from darts_engine.run.errors import LockError

PATIENCE_S = 0.5
POLL_S = 0.01


def take(descriptor: int, path: Path, patience_s: float = PATIENCE_S) -> bool:
    """Take the lock of an open file, until the file is closed. Returns: whether it was free.

    Args:
        descriptor: of the file, open for reading and writing.
        path: of the file, for messages.
        patience_s: how long to try; who only looks at a lock holds it for microseconds.

    Raises:
        LockError: there are no locks here, or they cannot be reached.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        except OSError as error:
            raise _refusal(error, path) from None
        else:
            return True


def is_taken(descriptor: int) -> bool | None:
    """Whether a process holds the lock of an open file; None where the file system cannot say."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _refusal(error: OSError, path: Path) -> LockError:
    name = errno.errorcode.get(error.errno or 0, "no errno")
    return LockError(
        f"it cannot be locked, so that only one process works on it: {error.strerror} ({name})",
        where=str(path),
        remedy="keep runs on a file system with flock, such as a local disk; "
        "'darts-tui doctor' looks whether it works there",
    )


class EngineRecord(msgspec.Struct, kw_only=True, frozen=True):
    """A process that took a run.

    Attributes:
        pid: of the process.
        host: its machine.
        boot_id: that machine's boot.
        started: Unix seconds.
        run: the run's id.
        after: number of the last event before the engine; None of versions up to 0.2.0.
    """

    pid: int
    host: str
    boot_id: str
    started: float
    run: str = ""
    after: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process is of this machine and known to have ended."""
        if self.host != socket.gethostname():
            return False
        if self.boot_id != boot_id():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass
        return False


def of_this_process(run: str, after: int | None) -> EngineRecord:
    """The record of this process as the engine of a run."""
    return EngineRecord(
        pid=os.getpid(),
        host=socket.gethostname(),
        boot_id=boot_id(),
        started=time.time(),
        run=run,
        after=after,
    )


def boot_id() -> str:
    """Id of this boot of the machine; a pid of an earlier boot means another process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
