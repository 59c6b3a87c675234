"""Makes a folder that is there with all its content or not at all.

It is filled under a hidden name first. Then an empty folder takes the name, which only one process
can make, and the filled one replaces it. A process that is killed leaves a hidden folder, which a
later one clears away.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from darts_engine.run.errors import UnsafeFileError
from darts_engine.run.private_files import PrivateFolder, is_temporary, sync_folder

_HIDDEN = re.compile(r"\..+\.new\.[0-9a-f]{16}\Z")
# A folder that is being made is younger, however slow the disk.
OLD_S = 3600.0


def make_private(path: Path) -> None:
    """Make a folder and its missing parents, mode 0700 whatever the umask; done if it is there.

    Raises:
        OSError: it cannot be made.
    """
    try:
        _make(path)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_private(path.parent)
        with contextlib.suppress(FileExistsError):
            _make(path)
    except FileExistsError:
        if not path.is_dir():
            raise


def _make(path: Path) -> None:
    path.mkdir(mode=0o700)
    # A strict umask takes away what the owner needs.
    path.chmod(0o700)


def make_new(path: Path, files: Mapping[str, bytes], folders: Collection[str]) -> None:
    """Make a folder, its parents if they are missing, and its content, for this user only.

    Args:
        path: the folder; nothing has this name yet.
        files: name and content of its files.
        folders: names of the empty folders in it.

    Raises:
        FileExistsError: the name is taken.
        OSError: it cannot be made; nothing is left of it.
    """
    try:
        make_private(path.parent)
    except FileExistsError as error:
        # Not the folder's own name is taken, but the place above it.
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename
        ) from None
    _clear_old(path.parent, files, folders)
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    hidden = path.with_name(f".{path.name}.new.{secrets.token_hex(8)}")
    try:
        _make(hidden)
        for name in folders:
            _make(hidden / name)
        with PrivateFolder.open(hidden) as folder:
            for name, content in files.items():
                folder.replace(name, content)
        _claim(path, hidden)
    except BaseException:
        _discard(hidden, files, folders)
        raise
    # The folder is whole; whether a power loss undoes it is up to the disk.
    with contextlib.suppress(OSError):
        sync_folder(path.parent)


def _claim(path: Path, hidden: Path) -> None:
    """Give the filled folder its name, which nothing may have."""
    # Renaming alone would replace an empty folder that someone else has made.
    path.mkdir(mode=0o700)
    try:
        try:
            hidden.rename(path)
        except OSError:
            # Some file systems replace no folder, not even an empty one.
            path.rmdir()
            hidden.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            path.rmdir()
        raise


def _clear_old(parent: Path, files: Collection[str], folders: Collection[str]) -> None:
    """Discard what killed processes have left half-made."""
    with contextlib.suppress(OSError):
        for entry in parent.iterdir():
            if _HIDDEN.match(entry.name) and _is_old(entry):
                _discard(entry, files, folders)


def _is_old(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    is_mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return is_mine and time.time() - status.st_mtime > OLD_S


def _discard(path: Path, files: Collection[str], folders: Collection[str]) -> None:
    """Remove a half-made folder, unless it holds what does not belong into it."""
    with contextlib.suppress(OSError, UnsafeFileError):
        with PrivateFolder.open(path) as folder:
            for name in folder.names():
                if name in folders:
                    os.rmdir(name, dir_fd=folder.descriptor)
                elif name in files or is_temporary(name):
                    folder.delete(name)
        path.rmdir()
