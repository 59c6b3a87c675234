"""A series keeps what is drawn of it: extremes, the newest point, and all of its length."""

from hypothesis import given, settings
from hypothesis import strategies as st

from darts_engine.run.series import Series


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(3, 16))
def test_a_series_keeps_its_extremes_and_its_order_within_bounds(
    values: list[float], limit: int
) -> None:
    series = Series(limit)
    for x, y in enumerate(values):
        series.add(float(x), y)
        assert len(series) < 2 * limit
        assert (series.x[-1], series.y[-1]) == (x, y)
    assert (min(series.y), max(series.y)) == (min(values), max(values))
    assert series.x == sorted(series.x)
    assert all(values[int(x)] == y for x, y in zip(series.x, series.y, strict=True))


def test_a_series_leaves_out_what_is_not_finite_and_can_be_cut() -> None:
    series = Series()
    for x, y in enumerate([1.0, None, 3.0, 4.0]):
        series.add(float(x), y)
    assert (series.x, series.y) == ([0.0, 2.0, 3.0], [1.0, 3.0, 4.0])
    series.cut(2.0)
    assert series.x == [0.0, 2.0]


def test_every_part_of_a_long_series_is_kept_as_finely_as_the_others() -> None:
    series, length = Series(100), 50_000
    for x in range(length):
        series.add(float(x), 1000.0 if x == 77 else float(x % 7))
    parts = [sum(lo <= x < lo + length / 5 for x in series.x) for lo in range(0, length, 10_000)]
    assert sum(parts) > 90
    assert max(parts) <= 2.5 * min(parts)
    assert max(series.y) == 1000.0


def test_a_series_that_is_cut_goes_on_within_its_bounds() -> None:
    series = Series(10)
    for x in range(500):
        series.add(float(x), float(x % 13))
        if x % 37 == 36:
            series.cut(x - 5.0)
            assert series.x[-1] <= x - 5
        assert len(series) < 20
