"""SGAS: the measures by hand, the order of decisions, and that what is decided stays."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from darts_engine.compute import device as devices
from darts_engine.data import dataset as datasets
from darts_engine.methods.schedules import greedy
from darts_engine.methods.schedules.greedy import Greedy
from darts_engine.run.errors import ConfigError
from darts_engine.run.events import LogWritten
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.search.task import Search
from darts_engine.supernet.mixing import Mixing

THREE = ("none", "skip_connect", "sep_conv_3x3")


def rows(*values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_measures_have_the_values_worked_out_by_hand():
    counts = rows((0, 1, 1), (0, 1, 1))
    weights = rows((0.5, 0.4, 0.1), (0.2, 0.4, 0.4))
    assert greedy.importance(weights, counts).tolist() == pytest.approx([0.5, 0.8])
    chosen = greedy.choices(weights, counts)
    assert chosen[:, 1:].tolist() == [pytest.approx([0.8, 0.2]), pytest.approx([0.5, 0.5])]
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert greedy.certainty(chosen, counts).tolist() == pytest.approx(
        [1 - entropy / math.log(2), 0.0]
    )
    assert greedy.stability(chosen, []).tolist() == [0, 0]
    before = [rows((0, 0.6, 0.4), (0, 0.1, 0.9)), rows((0, 1.0, 0.0), (0, 0.5, 0.5))]
    # min: .6 + .2 and .8 + 0; .1 + .5 and .5 + .5.
    assert greedy.stability(chosen, before).tolist() == pytest.approx([0.8, 0.8])
    assert greedy.normalised(torch.tensor([2.0, 4.0, 3.0])).tolist() == [0, 1, 0.5]
    assert greedy.normalised(torch.tensor([2.0, 2.0])).tolist() == [0, 0]


def test_fifty_epochs_decide_when_the_published_code_does_and_short_searches_in_time():
    assert greedy.decision_epochs(50, 8, 0.18) == [10, 15, 20, 25, 30, 35, 40, 45]
    for epochs in range(1, 30):
        found = greedy.decision_epochs(epochs, 8, 0.18)
        assert len(found) == 8
        assert found == sorted(found)
        assert found[-1] <= epochs


def a_greedy(nodes: int, epochs: int, *, uses_history: bool = False) -> Greedy:
    edges = sum(range(2, nodes + 2))
    names = {cell: [THREE] * edges for cell in ("normal", "reduce")}
    return Greedy(names, epochs, rest=0.0, uses_history=uses_history)


def test_each_decision_takes_the_surest_edge_and_a_full_node_loses_the_others():
    found = a_greedy(2, 4)
    # Five edges, two into node 2 and three into node 3; certain ones are important here.
    sure = {0: 0.6, 1: 0.7, 2: 0.95, 3: 0.8, 4: 0.9}
    matrix = rows(*[(0.02 * (5 - e), (1 - 0.02 * (5 - e)) * (1 - s), (1 - 0.02 * (5 - e)) * s)
                    for e, s in sure.items()])  # fmt: skip
    weights = {"normal": matrix, "reduce": matrix}
    order = []
    for epoch in range(1, 5):
        taken = [d for d in found.finish_epoch(epoch, weights) if d.cell == "normal"]
        order += [d.edge for d in taken]
        assert all(d.column == 2 for d in taken)
    assert order[:2] == [4, 2]
    assert sorted(order[2:]) == [0, 1]
    settled = found.settled(Mixing(weights))
    one = [0.0, 0.0, 1.0]
    assert settled.weights["normal"].tolist() == [one, one, one, [1.0, 0.0, 0.0], one]
    assert settled.active is not None
    assert settled.active["normal"] == [(2,), (2,), (2,), (0,), (2,)]


def test_the_second_criterion_prefers_what_has_not_changed():
    steady, wavering = (0.1, 0.2, 0.7), (0.05, 0.1, 0.85)
    dull = [(0.4, 0.3, 0.3), (0.5, 0.25, 0.25), (0.5, 0.25, 0.25)]
    before = {cell: rows(steady, (0.1, 0.8, 0.1), *dull) for cell in ("normal", "reduce")}
    now = {cell: rows(steady, wavering, *dull) for cell in before}
    firsts = []
    for uses_history in (False, True):
        found = Greedy({c: [THREE] * 5 for c in before}, 8, rest=0.5, uses_history=uses_history)
        taken = [found.finish_epoch(epoch, before) for epoch in range(1, 5)]
        assert not any(taken)
        firsts.append(found.finish_epoch(5, now)[0].edge)
    assert firsts == [1, 0]


def test_what_is_decided_neither_moves_nor_gets_a_gradient():
    found = a_greedy(2, 4)
    alphas = {c: torch.randn(5, 3, requires_grad=True) for c in ("normal", "reduce")}
    relaxed = {cell: a.softmax(-1) for cell, a in alphas.items()}
    taken = found.finish_epoch(1, relaxed)
    settled = found.settled(Mixing(relaxed))
    loss = sum((w * torch.randn(5, 3)).sum() for w in settled.weights.values())
    gradients = torch.autograd.grad(loss, list(alphas.values()))
    before = {cell: a.detach().clone() for cell, a in alphas.items()}

    def move() -> None:
        with torch.no_grad():
            for a in alphas.values():
                a.add_(1.0)

    found.hold(alphas, move)
    for (cell, alpha), gradient in zip(alphas.items(), gradients, strict=True):
        fixed = [d.edge for d in taken if d.cell == cell]
        for edge in range(5):
            assert (gradient[edge] == 0).all() == (edge in fixed)
            assert torch.equal(alpha[edge], before[cell][edge]) == (edge in fixed)


def a_search(images: Path, changes: dict[str, object]) -> Search:
    if not images.exists():
        levels = np.random.default_rng(0).integers(0, 255, (64, 8, 8))
        np.savez(images, images=levels.astype(np.uint8), labels=np.arange(64) % 4)
    asked = {"data.batch_size": 16, "space.channels": 4, "space.layers": 3, "space.nodes": 2,
             "engine.threads": 1, "engine.device": "cpu", "search.epochs": 3,
             "search.method": "sgas"}  # fmt: skip
    config = configs.override(SearchConfig(), asked | changes)
    assert isinstance(config, SearchConfig)
    return Search(config, datasets.load(f"npz:{images}"), devices.choose(config.engine))


@pytest.mark.parametrize("changes", [{}, {"method.sgas_history": True},
                                     {"method.perturbation": "random"}])  # fmt: skip
def test_a_search_decides_all_edges_and_derives_what_it_decided(
    changes: dict[str, object], tmp_path: Path
):
    images = tmp_path / "images.npz"
    search, reported = a_search(images, changes), []
    for epoch in range(1, 4):
        search.begin_epoch(epoch)
        for step in (1, 2):
            search.step(epoch, step)
        position = Position(epoch=epoch, step=2, global_step=2 * epoch)
        reported += [e.message for e in search.finish_epoch(position, Timing())
                 if isinstance(e, LogWritten)]  # fmt: skip
        if epoch == 2:
            resumed = a_search(images, changes)
            resumed.load_state(copy.deepcopy(search.state()))
    assert len(reported) == 8
    assert "normal cell" in reported[0]
    mixing = search.method.strengths()
    assert all(((w == 0) | (w == 1)).all() for w in mixing.values())
    genotype = search.space.derive(mixing)
    for cell, weights in mixing.items():
        kept = [e for e, row in enumerate(weights.tolist()) if row[0] == 0]
        ends = [(j, i + 2) for i in range(2) for j in range(i + 2)]
        assert {(x.input, x.node) for x in genotype.edges(cell)} == {ends[e] for e in kept}

    resumed.begin_epoch(3)
    for step in (1, 2):
        resumed.step(3, step)
    resumed.finish_epoch(Position(epoch=3, step=2, global_step=6), Timing())
    assert torch.equal(resumed.supernet.alphas.normal, search.supernet.alphas.normal)
    theirs = resumed.supernet.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in search.supernet.state_dict().items())


def test_edge_normalisation_and_other_derivations_are_refused(tmp_path: Path):
    for changes in ({"method.edge_normalisation": True}, {"method.derivation": "skip-limited"}):
        with pytest.raises(ConfigError, match="edge"):
            a_search(tmp_path / "images.npz", changes)
