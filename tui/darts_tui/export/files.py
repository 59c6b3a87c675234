"""Writing files whole or not at all, under names that stay in their folder."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from darts_engine.run.errors import RunError, SpaceError, UnsafeFileError
from darts_engine.run.private_files import PrivateFolder, sync_folder

MAX_STEM = 64


def safe_stem(name: str) -> str:
    """`name` as the beginning of a file name: letters, digits, dot, dash, underscore."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:MAX_STEM].strip(".-")
    return stem or "genotype"


def open_folder(path: Path, *, own: bool) -> Path:
    """Make the folder to write into, unless it exists.

    Args:
        path: the folder.
        own: the folder belongs to a run, so it must be a plain one of this user.

    Raises:
        RunError: the folder cannot be used; choose another with --out.
    """
    try:
        if own:
            with PrivateFolder.open(path.parent) as run, run.inner(path.name, make=True):
                return path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except UnsafeFileError as error:
        remedy = "choose a folder with --out DIR"
        raise UnsafeFileError(error.what, where=error.where, remedy=remedy) from None
    except OSError as error:
        raise _refused(path, error) from None
    return path


def write_whole(path: Path, chunks: Iterable[bytes]) -> Path:
    """Write a file beside `path` and rename it, so that readers see the old file or the new.

    A symbolic link at `path` is replaced, never followed.

    Raises:
        RunError: the file cannot be written; SpaceError where the disk is full.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise _refused(path, error) from None
    return path


def _refused(path: Path, error: OSError) -> RunError:
    kind = SpaceError if error.errno in (errno.ENOSPC, errno.EDQUOT) else RunError
    return kind(
        f"the export cannot be written: {error.strerror}",
        where=str(path),
        remedy="choose a writable folder with --out DIR",
    )
