"""The time that the parts of a step take on the host."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the time spent in named parts until it is read.

    On a GPU this is the time to launch a part's kernels; the device may finish them later.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Inside, time goes to the part of this name."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Mean milliseconds of each part since the last read."""
        means = {n: round(1000 * s / self._counts[n], 2) for n, s in self._seconds.items()}
        self._seconds, self._counts = {}, {}
        return means
