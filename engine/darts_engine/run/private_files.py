"""Open files of a run folder: for their owner only, and never through a symbolic link."""

import os
from pathlib import Path

_PRIVATE = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def open_to_append(path: Path) -> int:
    """Returns: a descriptor whose writes go to the end of the file, which is made if missing.

    Raises:
        OSError: the file cannot be opened, or is a symbolic link.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | _PRIVATE, 0o600)


def open_lock(path: Path) -> int:
    """Returns: a descriptor for `flock`; the file is made if missing.

    Raises:
        OSError: the file cannot be opened, or is a symbolic link.
    """
    return os.open(path, os.O_RDWR | _PRIVATE, 0o600)
