"""A clock that goes on evenly while the machine's is set, by a person or over the network."""

import time
from collections.abc import Callable

# It also counts the time in which the machine slept, where there is such a clock.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> Callable[[], float]:
    """Unix seconds as the machine has them now, and from here on the time that has passed since.

    So the times of two readings differ by what was between them, and never go back.
    """
    began, passed = time.time(), time.clock_gettime(_ELAPSED)
    return lambda: began + time.clock_gettime(_ELAPSED) - passed
