"""The rules that end a search against plain statements of the official ones.

R-DARTS: `EVLocalAvg` of src/utils.py and the loop of src/search/train_search.py in
github.com/automl/RobustDARTS, commit 285e3b61; epochs count from 0 there. DARTS+: arXiv 1909.06035,
criteria 1 and 1*; it has no code.
"""

import math

import numpy as np
import pytest

from darts_engine.methods.stopping.adapt import Adaptation
from darts_engine.methods.stopping.rules import EigenvalueRule, EpochEvidence, SkipRule
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.text import published

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

PLAIN = published()["DARTS_V2"].genotype
EPOCHS = 50
# Adam's weight decay on alpha, which the official Hessian carries on its diagonal.
DECAY = 1e-3


def official_stop(values: np.ndarray, every: int, epochs: int) -> tuple[int, int] | None:
    """(epoch of the decision, epoch that is returned), both from 0, of a whole series.

    Measurement n is that of epoch n * every. Its local average is the mean of the last five
    measurements, or of all where there are three or four, and stands for the epoch two measurements
    earlier. From epoch 10 on, an average of more than 1.3 times the one four measurements before
    ends the search with that earlier epoch. The last epoch decides nothing.
    """
    averages = [
        np.mean(values[max(0, n - 4) : n + 1]) if n >= 2 else None for n in range(len(values))
    ]
    for n, average in enumerate(averages):
        epoch = n * every
        returned = epoch - 2 * every - 4 * every
        if epoch == epochs - 1 or returned < 10:
            continue
        if average / averages[n - 4] > 1.3:
            return epoch, returned
    return None


def ours(values: np.ndarray, measured: list[int], every: int) -> tuple[int, int] | None:
    """The same of our rule, its epochs (from 1) counted from 0; `measured` are epochs from 0."""
    rule, known = EigenvalueRule(every=every), dict(zip(measured, values, strict=False))
    for epoch in range(EPOCHS - 1):
        value = known.get(epoch)
        found = rule.check(
            EpochEvidence(epoch + 1, None if value is None else float(value), PLAIN, {})
        )
        if found is not None:
            return epoch, found.epoch - 1
    return None


def series(count: int, lowest: float, highest: float, seed: int) -> np.ndarray:
    """(count, 50) eigenvalues of searches: a level between the bounds that drifts, with noise."""
    draws = np.random.default_rng(seed)
    level = np.exp(draws.uniform(math.log(lowest), math.log(highest), (count, 1)))
    drift = np.cumsum(draws.normal(0, 0.08, (count, EPOCHS)), 1)
    return level * np.exp(drift + draws.normal(0, 0.15, (count, EPOCHS)))


@pytest.mark.parametrize("every", [1, 2, 5])
def test_the_eigenvalue_rule_decides_as_the_official_class_over_a_thousand_series(every: int):
    measured = list(range(0, EPOCHS, every))
    ended = 0
    for values in series(1000, 0.01, 1.0, seed=every):
        expected = official_stop(values[: len(measured)], every, EPOCHS)
        assert ours(values, measured, every) == expected
        ended += expected is not None
    assert 40 < ended < 1000


def test_with_every_second_epoch_ours_measures_one_epoch_later_than_the_official_code():
    """Official: epochs 1, 3, 5, ...; ours: 2, 4, 6, ... The same values return the next epoch."""
    official = list(range(0, EPOCHS, 2))
    later = [epoch + 1 for epoch in official]
    ended = 0
    for values in series(200, 0.01, 1.0, seed=7):
        expected = official_stop(values[:25], 2, EPOCHS)
        found = ours(values, later, 2)
        # A decision of measurement 25 would be of our last epoch, which decides nothing.
        if expected is None or expected[0] == official[-1]:
            assert found is None
            continue
        ended += 1
        assert found == (expected[0] + 1, expected[1] + 1)
    assert ended > 20


def test_alphas_weight_decay_in_the_hessian_holds_small_eigenvalues_back():
    """The official eigenvalues are larger by 1e-3, so small ones grow by a smaller factor."""
    changed = {}
    for lowest, highest in ((0.2, 1.0), (0.01, 0.05), (0.001, 0.01)):
        found = series(200, lowest, highest, seed=12)
        changed[lowest] = sum(
            official_stop(values, 1, EPOCHS) != official_stop(values + DECAY, 1, EPOCHS)
            for values in found
        )
        for values in found[:50]:
            every_epoch = list(range(EPOCHS))
            assert ours(values + DECAY, every_epoch, 1) == official_stop(values + DECAY, 1, EPOCHS)
    assert changed[0.2] <= 5 < changed[0.01] < changed[0.001]


# DARTS-ADA ------------------------------------------------------------------------------------


def official_decays(start: float, factor: float, most: float) -> list[float]:
    """The weight decays that the official recursion goes through, as far as it acts.

    A rise multiplies the decay, unless the logarithms of the maximum and of the decay agree to one
    digit; then the search goes on as it is.
    """
    decays = [start]
    while round(math.log(most) / math.log(decays[-1]), 1) != 1.0 and len(decays) < 9:
        decays.append(decays[-1] * factor)
    return decays


def our_decays(start: float, factor: float, most: float) -> list[float]:
    rule = Adaptation(EigenvalueRule(), start, factor, most)
    decays = [rule.weight_decay(EPOCHS)]
    # Every eigenvalue is twice the last one: the rule would go back each time that it may.
    while rule.may_return_to(30):
        rule.adapt(20 + len(decays), rule.returns)
        decays.append(rule.weight_decay(EPOCHS))
    return decays


def test_the_adaptation_goes_through_the_official_decays_and_then_rests():
    script = (3e-4, 10.0, 0.03)
    assert official_decays(*script) == pytest.approx([3e-4, 3e-3, 0.03], rel=1e-12)
    assert our_decays(*script) == pytest.approx(official_decays(*script), rel=1e-12)


def test_with_a_factor_of_three_the_official_decays_pass_the_maximum_and_ours_do_not():
    """The factor that is the official argument's default, and which its script replaces."""
    theirs, own = official_decays(3e-4, 3.0, 0.03), our_decays(3e-4, 3.0, 0.03)
    assert own == pytest.approx([3e-4, 9e-4, 2.7e-3, 8.1e-3, 2.43e-2, 0.03])
    assert theirs[:5] == pytest.approx(own[:5])
    assert max(theirs) > 0.03


# DARTS+ ---------------------------------------------------------------------------------------


def test_the_skip_rule_returns_the_last_cell_with_fewer_than_two_skips():
    def cell(skips: int) -> Genotype:
        names = ["skip_connect"] * skips + ["sep_conv_3x3"] * (8 - skips)
        normal = tuple((name, place % 2) for place, name in enumerate(names))
        return Genotype(normal, (2, 3, 4, 5), normal, (2, 3, 4, 5))

    for counts in ((0, 1, 0, 1, 2, 3), (1, 1, 2), (2, 3, 1, 0, 4), (0, 1, 1)):
        rule = SkipRule(2)
        verdicts = [
            rule.check(EpochEvidence(epoch, None, cell(skips), {}))
            for epoch, skips in enumerate(counts, 1)
        ]
        # Criterion 1, once there is a cell to go back to.
        fewer = [epoch for epoch, skips in enumerate(counts, 1) if skips < 2]
        expected = next(
            (e - 1 for e, skips in enumerate(counts, 1) if skips >= 2 and fewer and fewer[0] < e),
            None,
        )
        found = next((verdict.epoch for verdict in verdicts if verdict), None)
        assert found == expected
