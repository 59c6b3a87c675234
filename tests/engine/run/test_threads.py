"""How many threads a run gets."""

import os

import pytest

from darts_engine.run.threads import num_threads


def test_what_is_asked_for_is_given() -> None:
    assert num_threads(5) == 5


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 7)])
def test_a_core_is_left_of_those_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert num_threads(0) == threads
    monkeypatch.delattr(os, "sched_getaffinity")
    assert num_threads(0) == 63
