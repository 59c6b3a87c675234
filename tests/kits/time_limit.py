"""A limit on how long something may take, whatever it waits for."""

import contextlib
import signal
from collections.abc import Iterator
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
