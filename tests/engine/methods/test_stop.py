"""Stop rules against the golden values of their code."""

import pytest

from darts_engine.methods.stopping.rules import (
    EigenvalueRule,
    EpochEvidence,
    RankingRule,
    SkipRule,
    strongest,
)
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.text import published

PLAIN = published()["DARTS_V2"].genotype


def evidence(
    epoch: int, eigenvalue: float | None = None, genotype: Genotype = PLAIN, rank=0
) -> EpochEvidence:
    return EpochEvidence(epoch, eigenvalue, genotype, {"normal": [rank, 1], "reduce": [0, 0]})


def run(rule: EigenvalueRule, values: dict[int, float], last: int):
    """Epochs from 0 as in the golden values: when the verdict comes, and the epoch it names."""
    for epoch in range(last):
        verdict = rule.check(evidence(epoch + 1, values.get(epoch)))
        if verdict:
            return epoch, verdict.epoch - 1
    return None


def test_a_jump_measured_every_epoch_stops_and_goes_back():
    values = {epoch: 0.2 if epoch < 20 else 0.5 for epoch in range(50)}
    assert run(EigenvalueRule(every=1), values, 50) == (21, 15)


def test_slow_growth_measured_every_second_epoch_stops_and_goes_back():
    values = {2 * k: 0.1 if k < 10 else 0.1 * 1.15 ** (k - 9) for k in range(25)}
    assert run(EigenvalueRule(every=2), values, 50) == (26, 14)


def test_a_flat_eigenvalue_never_stops_and_an_early_rise_waits():
    assert run(EigenvalueRule(), dict.fromkeys(range(50), 0.3), 50) is None
    early = {epoch: 0.1 * 2**epoch if epoch < 6 else 3.2 for epoch in range(50)}
    assert run(EigenvalueRule(), early, 50) is None


def test_a_rule_goes_on_from_its_state():
    values = {epoch: 0.2 if epoch < 20 else 0.5 for epoch in range(50)}
    rule = EigenvalueRule(every=1)
    assert run(rule, values, 20) is None
    other = EigenvalueRule(every=1)
    other.load_state(rule.state())
    verdicts = [other.check(evidence(epoch + 1, values[epoch])) for epoch in range(20, 22)]
    assert verdicts[0] is None
    assert verdicts[1] is not None
    assert verdicts[1].epoch - 1 == 15


def with_skips(epoch: int, skips: int) -> EpochEvidence:
    parts = [("skip_connect" if k < skips else "sep_conv_3x3", k % 2) for k in range(8)]
    genotype = Genotype(tuple(parts), (2, 3, 4, 5), PLAIN.reduce, PLAIN.reduce_concat)
    return evidence(epoch, genotype=genotype)


@pytest.mark.parametrize(("skips", "stops"), [(1, False), (2, True), (3, True)])
def test_two_skip_connections_in_the_normal_cell_stop(skips: int, stops: bool):
    rule = SkipRule()
    assert rule.check(with_skips(6, 1)) is None
    verdict = rule.check(with_skips(7, skips))
    assert (verdict is not None) == stops
    assert verdict is None or verdict.epoch == 6


def test_skip_connections_of_the_beginning_do_not_stop_until_there_were_fewer():
    rule = SkipRule()
    assert [rule.check(with_skips(epoch, 3)) for epoch in (1, 2, 3)] == [None] * 3
    assert rule.check(with_skips(4, 1)) is None
    resumed = SkipRule()
    resumed.load_state(rule.state())
    for one in (rule, resumed):
        verdict = one.check(with_skips(5, 2))
        assert verdict is not None
        assert verdict.epoch == 4
    older = SkipRule()
    older.load_state({})
    assert older.check(with_skips(1, 2)) is None


def test_ten_epochs_without_a_change_of_ranking_stop():
    rule = RankingRule(10)
    assert all(rule.check(evidence(epoch, rank=epoch % 2)) is None for epoch in range(1, 20))
    verdicts = [rule.check(evidence(epoch, rank=5)) for epoch in range(20, 31)]
    assert [v is not None for v in verdicts] == [False] * 10 + [True]


def test_none_ahead_on_every_edge_does_not_hide_that_choices_change():
    names = [["none", "skip_connect", "sep_conv_3x3"]] * 2
    rule, counting = RankingRule(10), RankingRule(10)
    ended = {}
    for epoch in range(1, 31):
        weights = [[0.6, *((0.3, 0.1) if epoch % 2 else (0.1, 0.3))]] * 2
        for name, one, ranking in (
            ("ours", rule, strongest(weights, names)),
            ("counting none", counting, [0, 0]),
        ):
            found = one.check(EpochEvidence(epoch, None, PLAIN, {"normal": ranking}))
            if found:
                ended.setdefault(name, epoch)
    assert ended == {"counting none": 11}


def test_none_is_never_the_strongest():
    assert strongest([[0.9, 0.04, 0.06]], [["none", "skip_connect", "sep_conv_3x3"]]) == [2]
