"""A curve of bounded length."""

MAX_POINTS = 2000


class Series:
    """Points (x, y) of a curve, x never falling, bounded in number.

    Nearly 2 * `limit` points are kept as they are. Of more, each stretch of 4, then 8, 16, ...
    points is kept as its lowest and its highest one. So spikes survive any length of run, and its
    beginning is drawn as finely as its end. The newest point is always there.

    Args:
        limit: half the number of points, at least 3.
    """

    def __init__(self, limit: int = MAX_POINTS) -> None:
        self._limit = limit
        self.x: list[float] = []
        self.y: list[float] = []
        # The newest stretch: how many points it is to have, has had, and has here, of which the
        # lowest, the highest and the newest are never left out.
        self._length, self._count, self._held = 2, 0, 0

    def add(self, x: float, y: float | None) -> None:
        """Add a point; a missing y (not finite) is left out."""
        if y is None:
            return
        if self._count >= self._length:
            self._end_stretch()
        self.x.append(x)
        self.y.append(y)
        self._count += 1
        self._held += 1
        if self._held > 3:
            self._leave_one_out(len(self.y) - 4)

    def _end_stretch(self) -> None:
        if self._held > 2:
            self._leave_one_out(len(self.y) - 3)
        self._count = self._held = 0
        if len(self.y) + 3 >= 2 * self._limit:
            self._thin()

    def cut(self, x: float) -> None:
        """Remove all points after x."""
        while self.x and self.x[-1] > x:
            self.x.pop()
            self.y.pop()
        # The next point begins a stretch.
        self._count, self._held = self._length, 0

    def _leave_one_out(self, first: int) -> None:
        """Of three neighbours, remove the one that is neither the lowest nor the highest."""
        a, b, c = self.y[first : first + 3]
        middle = 1
        if a <= b:
            middle = 1 if b <= c else (2 if a <= c else 0)
        elif a <= c:
            middle = 0
        elif b <= c:
            middle = 2
        del self.x[first + middle], self.y[first + middle]
        self._held -= 1

    def _thin(self) -> None:
        """Join every two neighbouring stretches."""
        kept: list[int] = []
        for start in range(0, len(self.y), 4):
            places = range(start, min(start + 4, len(self.y)))
            low = min(places, key=self.y.__getitem__)
            high = max(places, key=self.y.__getitem__)
            kept += sorted({low, high})
        self.x = [self.x[i] for i in kept]
        self.y = [self.y[i] for i in kept]
        self._length *= 2

    def __len__(self) -> int:
        return len(self.y)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]
