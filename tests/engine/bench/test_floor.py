"""The floor's counting rule against published counts."""

import pytest
import torch

from darts_engine.bench import floor
from darts_engine.bench.timing import Comparison


@pytest.mark.slow
def test_operations_of_a_forward_pass_are_those_of_a_count_by_hand():
    operations, moved, first = floor.work(torch.zeros(2, 3, 32, 32))
    # The stem: 2 images, 48 maps of 32x32, 3 * 9 products each.
    assert first == 2 * 2 * 48 * 32 * 32 * 27
    one, half, _ = floor.work(torch.zeros(1, 3, 32, 32))
    assert operations == 2 * one
    # Twice the images read the same weights: 4 bytes of each, but for norms and the classifier.
    weights = 4 * (1_930_618 - 2 * 48 - 10)
    assert moved - weights == 2 * (half - weights)


def test_a_floor_is_the_longer_time_and_no_faster_than_the_machine(monkeypatch):
    machine = floor.Machine(100.0, 200.0, 10.0)
    monkeypatch.setattr(floor, "rates", lambda: machine)
    monkeypatch.setattr(floor, "work", lambda _images: (9_600_000_000, 1_700_000_000, 0))
    took = Comparison(1.0, 2.0, 2.0, None, (2.0, 2.0), (2.0, 2.0), 1)
    found = floor.measure(16, took, took)
    assert found.forward.floor_s == max(
        found.forward.operations_floor_s, found.forward.bytes_floor_s
    )
    assert found.forward.operations_floor_s == pytest.approx(found.forward.gflop / 200, rel=0.01)
    assert found.weight_step.gb == pytest.approx(3 * found.forward.gb, rel=0.01)
    assert found.forward.fraction == pytest.approx(found.forward.floor_s / 2, rel=0.01)
