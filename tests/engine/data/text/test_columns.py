"""Columns, windows and their lengths, by hand."""

from collections import Counter
from statistics import NormalDist

import pytest
import torch

from darts_engine.data.text.columns import columns, window
from darts_engine.data.text.lengths import Window, mean_steps, windows

SEED = {"seed": 3, "purpose": "search"}
# The sizes of Penn Treebank in the official code: 256 columns in the search, 64 in the training.
PENN_SEARCH, PENN_TRAINING = 929_589 // 256, 929_589 // 64


def test_columns_are_consecutive_text_without_the_tail():
    assert columns(torch.arange(14), 3).tolist() == [
        [0, 4, 8],
        [1, 5, 9],
        [2, 6, 10],
        [3, 7, 11],
    ]
    assert columns(torch.arange(12), 4).tolist() == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert columns(torch.arange(3), 1).tolist() == [[0], [1], [2]]
    assert columns(torch.arange(3), 4).shape == (0, 4)


def test_the_valid_part_of_penn_has_288_rows():
    assert columns(torch.zeros(73_760, dtype=torch.int64), 256).shape == (288, 256)


def test_targets_are_the_next_tokens():
    inputs, targets = window(columns(torch.arange(14), 3), 1, 2)
    assert inputs.tolist() == [[1, 5, 9], [2, 6, 10]]
    assert targets.tolist() == [[2, 6, 10], [3, 7, 11]]


def test_a_window_ends_before_the_last_row():
    inputs, targets = window(columns(torch.arange(14), 3), 1, 35)
    assert inputs.tolist() == [[1, 5, 9], [2, 6, 10]]
    assert targets.tolist() == [[2, 6, 10], [3, 7, 11]]
    inputs, targets = window(columns(torch.arange(14), 3), 2, 35)
    assert (inputs.tolist(), targets.tolist()) == ([[2, 6, 10]], [[3, 7, 11]])


@pytest.mark.parametrize("jitter", [0.0, 5.0])
@pytest.mark.parametrize(("total", "bptt"), [(1000, 35), (37, 35), (20, 2), (3, 35), (101, 7)])
def test_windows_go_through_the_text_as_the_official_loop(total, bptt, jitter):
    for epoch in range(1, 20):
        found = windows(total, bptt, epoch=epoch, jitter=jitter, **SEED)
        drawn = iter([w.drawn for w in found])
        expected, i = [], 0
        while i < total - 2:
            length = next(drawn)
            expected.append(Window(i, min(length, total - 1 - i), length))
            i += length
        assert found == expected
        assert next(drawn, None) is None
        lowest, highest = (5, bptt + 20) if jitter else (bptt // 2, bptt)
        assert all(lowest <= w.drawn <= highest for w in found)
        assert jitter or {w.drawn for w in found} <= {bptt, bptt // 2}


@pytest.mark.parametrize("total", [0, 1, 2])
def test_a_text_of_two_rows_has_no_window(total):
    assert windows(total, 35, epoch=1, **SEED) == []
    assert mean_steps(total, 35) == 0


def test_search_lengths_are_35_or_17():
    drawn = [w.drawn for e in range(60) for w in windows(PENN_SEARCH, 35, epoch=e, **SEED)]
    assert set(drawn) == {35, 17}
    assert 0.04 < drawn.count(17) / len(drawn) < 0.06


def test_training_lengths_have_the_distribution_of_the_definition():
    found = [windows(PENN_TRAINING, 35, epoch=e, jitter=5.0, **SEED) for e in range(60)]
    counts = Counter(w.drawn for epoch in found for w in epoch)
    assert min(counts) == 5
    assert max(counts) <= 55
    total = sum(counts.values())
    expected = dict.fromkeys(range(5, 56), 0.0)
    for base, share in ((35, 0.95), (17.5, 0.05)):
        below = NormalDist(base, 5).cdf
        for length in expected:
            lower = 0 if length == 5 else below(length)
            upper = 1 if length == 55 else below(length + 1)
            expected[length] += total * share * (upper - lower)
    frequent = [length for length, count in expected.items() if count > 5]
    squares = sum((counts[n] - expected[n]) ** 2 / expected[n] for n in frequent)
    # Chi-squared of 47 bins: mean 46, standard deviation 9.6.
    assert squares < 46 + 3 * 9.6


@pytest.mark.parametrize("jitter", [1e3, 1e300])
def test_lengths_are_brought_into_their_bounds(jitter):
    drawn = {w.drawn for w in windows(PENN_TRAINING, 35, epoch=1, jitter=jitter, **SEED)}
    assert {5, 55} <= drawn
    assert (min(drawn), max(drawn)) == (5, 55)


@pytest.mark.parametrize(
    ("total", "bptt", "jitter"),
    [(PENN_SEARCH, 35, 0.0), (PENN_TRAINING, 35, 5.0), (5170, 35, 0.0), (700, 10, 3.0)],
)
def test_the_expected_number_of_steps_is_that_of_many_epochs(total, bptt, jitter):
    counts = [len(windows(total, bptt, epoch=e, jitter=jitter, **SEED)) for e in range(200)]
    assert mean_steps(total, bptt, jitter=jitter) == pytest.approx(sum(counts) / 200, abs=1.1)


def test_an_epoch_is_a_function_of_seed_purpose_and_epoch():
    first = windows(PENN_SEARCH, 35, epoch=4, **SEED)
    assert windows(PENN_SEARCH, 35, epoch=4, **SEED) == first
    assert windows(PENN_SEARCH, 35, epoch=5, **SEED) != first
    assert windows(PENN_SEARCH, 35, epoch=4, seed=4, purpose="search") != first
    assert windows(PENN_SEARCH, 35, epoch=4, seed=3, purpose="training") != first
