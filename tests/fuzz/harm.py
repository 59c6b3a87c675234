"""A witness that input does no harm: it runs no code, writes nothing outside, and stays small.

Python reports to an audit hook what a process is about to do. A hook cannot be taken away again,
so there is one, and it looks only inside `harmless`.
"""

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

LIMIT_BYTES = 1_000_000_000
# What starts programs, loads libraries, talks to others, or finds a class for an unpickler.
NEVER = (
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.startfile", "os.kill", "pty."),
    *("subprocess.", "socket.", "ctypes.", "urllib.", "ftplib.", "smtplib.", "pickle.find_class"),
)
# What changes the file or folder that its first arguments name.
CHANGES = (
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "shutil."),
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_inside: list[Path] = []
_harm: list[str] = []
_hooks: list[object] = []
_status = Path("/proc/self/status")


@contextlib.contextmanager
def harmless(folder: Path) -> Iterator[None]:
    """Fail if anything inside runs code, writes outside `folder`, or needs more than the limits.

    The working folder becomes `folder`, so that names relative to an open folder count as inside.
    """
    if not _hooks:
        _hooks.append(_watch)
        sys.addaudithook(_watch)
    here, began = Path.cwd(), _peak_bytes(restart=True)
    _harm.clear()
    os.chdir(folder)
    _inside.append(folder.resolve())
    try:
        with warnings.catch_warnings():
            # What Pillow says of a large image is no crash.
            warnings.simplefilter("ignore")
            yield
    finally:
        _inside.clear()
        os.chdir(here)
    assert not _harm, _harm[:5]
    grown = _peak_bytes() - began
    assert grown < LIMIT_BYTES, f"it needed {grown / 1e9:.1f} GB"


def is_for_people(error: Exception) -> None:
    """Fail if an error has more than three lines: what happened, where, what to do next."""
    assert len(str(error).splitlines()) <= 3, error


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _inside:
        return
    if event.startswith(NEVER):
        _report(event, arguments)
    elif event == "exec":
        (code,) = arguments
        if not (isinstance(code, CodeType) and _is_import()):
            _report(event, arguments)
    elif event == "open":
        path, mode, flags = arguments
        if _is_writing(mode, flags) and not _is_inside(path):
            _report(event, arguments)
    elif event.startswith(CHANGES):
        paths = [a for a in arguments if isinstance(a, str | bytes | os.PathLike)]
        if not all(map(_is_inside, paths)):
            _report(event, arguments)


def _report(event: str, arguments: tuple[Any, ...]) -> None:
    _harm.append(f"{event} {arguments!r:.200}")
    raise PermissionError(f"harm: {_harm[-1]}")


def _is_import() -> bool:
    """Whether Python's import machinery runs the code: an installed module, imported late."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _is_writing(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & WRITES)


def _is_inside(path: object) -> bool:
    if isinstance(path, int) or path is None:
        return True
    where = Path(os.path.realpath(os.fsdecode(path)))  # type: ignore[arg-type]
    return where.is_relative_to(_inside[0]) or str(where) == os.devnull


def _peak_bytes(*, restart: bool = False) -> int:
    """The most resident memory since the last restart; 0 where the system does not say."""
    if not _status.exists():
        return 0
    if restart:
        gc.collect()
        with contextlib.suppress(OSError):
            _status.with_name("clear_refs").write_text("5")
    line = next(line for line in _status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
