"""Files of a folder that may have come from someone else, opened so that they can do no harm.

`PrivateFolder` holds a folder by its descriptor and opens what is in it relative to that. It never
follows a symbolic link. It refuses a pipe, a socket, a device, a folder in place of a file, and a
file of another user, without waiting for them, and a file with a second name where it is written
into. What is replaced is written under a name that did not exist, and renamed.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from darts_engine.run.errors import UnsafeFileError

# A pipe without a writer must not hold up who opens it.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# What `open` says of a link, of a pipe or socket without another end, and of a folder or a file in
# the place of the other.
_NOT_PLAIN = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR, errno.ENOTDIR, errno.EOPNOTSUPP)
_TEMPORARY = re.compile(r"\.tmp\.[0-9a-f]+\Z")
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Mode of a file: its owner reads and writes it, and nobody else.
OWNER = 0o600
REMEDY = "put a plain copy of your own in its place, or remove the run if it is not yours"


class PrivateFolder:
    """An open folder of this user, and the files in it.

    All methods that take a `name` raise UnsafeFileError if that is a path with a slash, or if what
    has the name is not a plain file (or folder) of this user; and OSError for all other reasons,
    such as FileNotFoundError. An OSError has the path in its `filename`.

    Args:
        path: where the folder is, for messages.
        descriptor: of the folder; closed with this object.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a folder by its path, whose last part must not be a symbolic link.

        Raises:
            UnsafeFileError: it is a link, no folder, or of another user.
            OSError: there is none, or it cannot be opened.
        """
        return cls._checked(path, path, None)

    @classmethod
    def _checked(cls, name: Path | str, path: Path, within: int | None) -> Self:
        try:
            descriptor = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=within)
        except OSError as error:
            raise _refusal(error, name, path, within) from None
        folder = cls(path, descriptor)
        try:
            with _naming(path):
                status = os.fstat(descriptor)
            _refuse_other_owner(status, path)
        except BaseException:
            folder.close()
            raise
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def again(self) -> "PrivateFolder":
        """The same folder, opened once more, for someone who closes it."""
        with _naming(self.path):
            return PrivateFolder(self.path, os.dup(self.descriptor))

    def close(self) -> None:
        """Close the folder; what was opened in it stays open."""
        if self.descriptor >= 0:
            closed, self.descriptor = self.descriptor, -1
            # It was only looked into: nothing can be lost.
            with contextlib.suppress(OSError):
                os.close(closed)

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode, which stay the same if the folder is moved."""
        return _identity(os.fstat(self.descriptor))

    def is_at(self, path: Path) -> bool:
        """Whether this folder, and no other, is what `path` names now."""
        try:
            return _identity(path.lstat()) == self.identity
        except OSError:
            return False

    def inner(self, name: str, *, make: bool = False) -> "PrivateFolder":
        """Open a folder in this one; with `make` it is made, mode 0700, if there is none."""
        if make:
            with contextlib.suppress(FileExistsError), _naming(self.path / name):
                os.mkdir(self._plain(name), 0o700, dir_fd=self.descriptor)
        return self._checked(self._plain(name), self.path / name, self.descriptor)

    def names(self) -> list[str]:
        """What is in the folder, in no order; hidden names and links too."""
        with _naming(self.path):
            return os.listdir(self.descriptor)

    def stat(self, name: str) -> os.stat_result:
        """The status of what has the name, whatever it is; of a link, not of its target."""
        with _naming(self.path / name):
            return os.stat(self._plain(name), dir_fd=self.descriptor, follow_symlinks=False)

    def plain_stat(self, name: str) -> os.stat_result:
        """As `stat`, of a plain file of this user only."""
        status = self.stat(name)
        _refuse_unsafe(status, self.path / name)
        return status

    def has(self, name: str) -> bool:
        """Whether something has the name, whatever it is."""
        try:
            self.stat(name)
        except OSError:
            return False
        return True

    def open_to_read(self, name: str) -> int:
        """Returns: a descriptor for reading."""
        return self._open(name, os.O_RDONLY)

    def open_to_repair(self, name: str) -> int:
        """Returns: a descriptor for reading, writing and cutting off."""
        return self._open(name, os.O_RDWR)

    def open_to_append(self, name: str, *, readable: bool = False) -> int:
        """Returns: a descriptor that writes to the end of the file, which is made if missing."""
        access = os.O_RDWR if readable else os.O_WRONLY
        descriptor = self._open(name, access | os.O_APPEND | os.O_CREAT)
        # It may become the output of another process, which need not expect this.
        os.set_blocking(descriptor, True)
        return descriptor

    def open_lock(self, name: str) -> int:
        """Returns: a descriptor for `flock`; the file is made if missing."""
        return self._open(name, os.O_RDWR | os.O_CREAT)

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file of at most `limit` bytes; UnsafeFileError if it has more."""
        with _naming(self.path / name), os.fdopen(self.open_to_read(name), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            # One byte more shows that the file has grown meanwhile.
            content = file.read(size + 1) if size <= limit else b""
        if max(size, len(content)) > limit:
            raise UnsafeFileError(
                f"{name} has {size:,} bytes, and may have {limit:,} at most",
                where=str(self.path / name),
                remedy="restore the file, or remove the run if it is not yours",
            )
        return content

    def tail(self, name: str, limit: int, start: int = 0) -> bytes:
        """The last bytes of a file, at most `limit`, and none before the offset `start`."""
        descriptor = self.open_to_read(name)
        with _naming(self.path / name):
            try:
                end = os.fstat(descriptor).st_size
                return os.pread(descriptor, limit, max(start, end - limit))
            finally:
                os.close(descriptor)

    def touch(self, name: str) -> None:
        """Set the time of a file's last change to now."""
        descriptor = self.open_to_read(name)
        with _naming(self.path / name):
            try:
                os.utime(descriptor)
            finally:
                os.close(descriptor)

    def replace(self, name: str, content: bytes) -> None:
        """Make or replace a file durably and atomically; on an error the old one is unchanged."""
        try:
            write_in(self.descriptor, self._plain(name), content)
        except OSError as error:
            raise _refusal(error, name, self.path / name, self.descriptor) from None

    def rename(self, name: str, to: str) -> None:
        """Give a file another name, in place of what has that name."""
        place = self.descriptor
        with _naming(self.path / to):
            os.replace(self._plain(name), self._plain(to), src_dir_fd=place, dst_dir_fd=place)

    def delete(self, name: str) -> None:
        """Delete a file or a link, never its target; nothing happens if there is none."""
        with contextlib.suppress(FileNotFoundError), _naming(self.path / name):
            os.unlink(self._plain(name), dir_fd=self.descriptor)

    def sync(self) -> None:
        """Make new, deleted and renamed files durable."""
        with _naming(self.path):
            os.fsync(self.descriptor)

    def _open(self, name: str, flags: int) -> int:
        path = self.path / name
        try:
            descriptor = os.open(
                self._plain(name), flags | _SAFELY, mode=OWNER, dir_fd=self.descriptor
            )
        except OSError as error:
            raise _refusal(error, name, path, self.descriptor) from None
        try:
            with _naming(path):
                status = os.fstat(descriptor)
            _refuse_unsafe(status, path)
            if flags & (os.O_WRONLY | os.O_RDWR):
                _refuse_shared(status, path)
            if flags & os.O_CREAT:
                with _naming(path):
                    _give_to_owner(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _plain(self, name: str) -> str:
        if "/" in name or name in ("", ".", ".."):
            raise UnsafeFileError(f"{name!r} is no name of a file", where=str(self.path))
        return name


def open_to_read(path: Path) -> int:
    """As `PrivateFolder.open_to_read`, of the file's own folder."""
    with PrivateFolder.open(path.parent) as folder:
        return folder.open_to_read(path.name)


def open_to_append(path: Path) -> int:
    """As `PrivateFolder.open_to_append`, of the file's own folder."""
    with PrivateFolder.open(path.parent) as folder:
        return folder.open_to_append(path.name)


def open_lock(path: Path) -> int:
    """As `PrivateFolder.open_lock`, of the file's own folder."""
    with PrivateFolder.open(path.parent) as folder:
        return folder.open_lock(path.name)


def read_private(path: Path, limit: int) -> bytes:
    """As `PrivateFolder.read`, of the file's own folder."""
    with PrivateFolder.open(path.parent) as folder:
        return folder.read(path.name, limit)


def write_private(path: Path, content: bytes) -> None:
    """Make or replace a small file durably and atomically; only its owner can read it.

    The folder is one that the user chose: it may be a link, or another user's.

    Raises:
        OSError: has the path. The file is the old one, if there was any, or the whole new one.
    """
    with _naming(path):
        descriptor = os.open(path.parent, _FOLDER)
        try:
            write_in(descriptor, path.name, content)
        finally:
            os.close(descriptor)


def write_in(folder: int, name: str, content: bytes) -> None:
    """Make or replace a file in an open folder, as `write_private` does.

    Raises:
        OSError: the file is the old one, if there was any, or the whole new one.
    """
    temporary = temporary_name(name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, mode=OWNER, dir_fd=folder)
    try:
        try:
            _give_to_owner(descriptor)
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def _give_to_owner(descriptor: int) -> None:
    """Undo a umask that takes away what the owner of a new file needs."""
    if os.fstat(descriptor).st_mode & OWNER != OWNER:
        os.fchmod(descriptor, OWNER)


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(path, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_name(name: str) -> str:
    """A name that no file has, for what will have this name when it is whole."""
    return f"{name}.tmp.{secrets.token_hex(8)}"


def is_temporary(name: str) -> bool:
    """Whether a killed process may have left the file half-written."""
    return _TEMPORARY.search(name) is not None


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Inside, errors of the disk name the path: a call by descriptor alone does not know it."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _refuse_unsafe(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _not_plain(status, path)
    _refuse_other_owner(status, path)


def _refuse_shared(status: os.stat_result, path: Path) -> None:
    if status.st_nlink > 1:
        raise UnsafeFileError(
            f"{path.name} has {status.st_nlink} names: to write into it would change another file",
            where=str(path),
            remedy="copy the run with cp -r, and go on with the copy, whose files are its own",
        )


def _refuse_other_owner(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.getuid():
        raise UnsafeFileError(
            f"{path.name} belongs to another user, id {status.st_uid}",
            where=str(path),
            remedy="make a copy of the run that is your own",
        )


def _refusal(
    error: OSError, name: Path | str, path: Path, within: int | None
) -> UnsafeFileError | OSError:
    """What an error of `open` means to the user; the error itself where it is about the disk."""
    error.filename = str(path)
    if error.errno not in _NOT_PLAIN:
        return error
    try:
        status = os.stat(name, dir_fd=within, follow_symlinks=False)
    except OSError:
        return error
    return _not_plain(status, path)


def _not_plain(status: os.stat_result, path: Path) -> UnsafeFileError:
    what = next((word for test, word in _KINDS if test(status.st_mode)), "a file, not a folder")
    return UnsafeFileError(
        f"{path.name} is {what}: it is not opened", where=str(path), remedy=REMEDY
    )
