"""Schedules at their corners."""

import pytest

from darts_engine.optim.schedules import cosine, ramp


def test_cosine_matches_the_published_log():
    assert cosine(0.025, 0.001, 0, 50) == 0.025
    assert cosine(0.025, 0.001, 49, 50) == pytest.approx(1.023679e-3, rel=1e-6)
    assert cosine(0.1, 0.0, 5, 10) == pytest.approx(0.05)


def test_the_drop_path_ramp_never_reaches_its_end():
    assert [ramp(0.2, e, 4) for e in range(4)] == pytest.approx([0, 0.05, 0.1, 0.15])
