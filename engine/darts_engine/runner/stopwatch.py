"""How long the parts of a step take, as the host sees it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the time spent in named parts until it is read.

    On a GPU a part is what its launches cost the host; the device may still be busy with them.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is inside."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Mean milliseconds of each part since the last reading."""
        means = {n: round(1000 * s / self._counts[n], 2) for n, s in self._seconds.items()}
        self._seconds, self._counts = {}, {}
        return means
