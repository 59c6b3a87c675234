"""What may be in the place of a plain file, and a limit on how long it may hold anything up."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

LIMIT_S = 5.0


@contextlib.contextmanager
def in_time(what: object) -> Iterator[None]:
    """Fail if it takes longer than `LIMIT_S`."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"longer than {LIMIT_S:g} s: {str(what)[:500]}")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def make_socket(path: Path) -> None:
    """Make a socket that nobody listens to."""
    # The path of a socket has a short limit.
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
