"""A lock on a file, which one process holds and the kernel frees when that process ends.

Some file systems that reach over a network have no locks, or lose the server that keeps them. What
they say then is neither "held" nor "free": nothing is begun there.
"""

import errno
import fcntl
import time
from pathlib import Path

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
