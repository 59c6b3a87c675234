"""Cutting the supernet to its genotype: what is kept, and that it disturbs nothing."""

import copy

import pytest
import torch
from tests.engine.methods.test_methods import a_search, equal, walk

from darts_engine.run import events
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.search import discretisation_gap
from darts_engine.spaces.darts import row_of
from darts_engine.supernet.cell import Design

SLOW = pytest.mark.slow
NOW = Position(epoch=3, step=4, global_step=4)


@pytest.fixture(autouse=True)
def few_renewing_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(discretisation_gap, "RENEWING", 2)


def test_rows_count_the_edges_node_by_node():
    ends = [(source, node) for node in range(2, 6) for source in range(node)]
    assert [row_of(*end) for end in ends] == list(range(14))


def test_what_the_genotype_keeps_has_weight_one_and_the_rest_none():
    search = a_search(space__nodes=2)
    genotype = search.space.derive(search.method.strengths())
    design = search.supernet.design
    assert isinstance(design, Design)
    mixing = search.space.cut(genotype, torch.zeros(()))
    assert mixing.shares is not None
    for cell in ("normal", "reduce"):
        assert mixing.weights[cell].sum() == len(genotype.edges(cell)) == 4
        for edge in genotype.edges(cell):
            row = row_of(edge.input, edge.node)
            column = design.candidates(cell)[row].index(edge.operation)
            assert mixing.weights[cell][row, column] == 1
            assert mixing.shares[cell][row] == 1


@pytest.mark.parametrize(
    "method",
    [
        "pc-darts",
        *(pytest.param(name, marks=SLOW) for name in ("fair-darts", "darts-minus", "gdas")),
    ],
)
def test_measuring_the_gap_leaves_the_search_as_it_was(method: str):
    changes = {"search.method": method, "space.nodes": 2, "method.threshold": 0.4}
    search, other = a_search(**changes), a_search(**changes)
    walk(search, range(1, 3))
    walk(other, range(1, 3))
    before = copy.deepcopy(search.state())
    measured = search.measure_gap(NOW)
    assert equal(search.state(), before)
    walk(search, range(3, 4))
    walk(other, range(3, 4))
    assert equal(search.state(), other.state())
    for name in ("supernet_top1", "derived_top1", "renewed_top1"):
        assert 0 <= getattr(measured, name) <= 100


def test_without_alternatives_there_is_no_gap():
    """One node keeps both edges; one-hot weights are what cutting them would give."""
    search = a_search(space__nodes=1)
    walk(search, range(1, 4))
    with torch.no_grad():
        for alpha in search.supernet.alphas.matrices().values():
            alpha.zero_()
            alpha[:, 4] = 200.0
    measured = search.measure_gap(NOW)
    assert measured.derived_loss == pytest.approx(measured.supernet_loss, abs=1e-4)
    assert measured.derived_top1 == measured.supernet_top1


def test_every_so_many_epochs_the_gap_is_an_event_and_it_knows_the_epochs_validation():
    search = a_search(space__nodes=2, search__gap_every=3)
    walk(search, range(1, 3))
    reported = search.finish_epoch(NOW, Timing())
    (measured,) = [event for event in reported if isinstance(event, events.GapMeasured)]
    (finished,) = [event for event in reported if isinstance(event, events.EpochFinished)]
    assert measured.supernet_loss == finished.valid_loss
    assert measured.renewed_loss != measured.derived_loss


def test_a_mean_shift_is_reported_with_the_alphas():
    search = a_search(search__method="ms-darts", space__nodes=2)
    walk(search, range(1, 2))
    search._report.architecture.is_due = lambda: True  # type: ignore[method-assign]
    (reported,) = [event for event in search.report(NOW) if isinstance(event, events.MeanShifted)]
    assert len(reported.losses) == 2 * 3
    assert reported.shift.keys() == {"normal", "reduce"}
    assert all(length > 0 for length in reported.shift.values())
    assert reported.radius == pytest.approx(0.025 + 0.225 * 2 / 5)
    assert reported.bandwidth == 1.0
