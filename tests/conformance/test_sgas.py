"""SGAS: whole searches of alphas and a step with decisions, against the official rule.

github.com/lightaime/sgas, commit 46b00390: `edge_decision` of cnn/train_search.py and `check_edges`
of cnn/model_search.py, with its published numbers: 50 epochs, the first decision after epoch 9
(from 0), one more every fifth epoch, and a history of four epochs.
"""

import re

import numpy as np
import pytest
import torch
from tests.conformance.official_cells import CELLS, pairs
from tests.conformance.steps_kit import Reference, batch, differences, search

from darts_engine.methods.schedules.greedy import Greedy, decision_epochs

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

NAMES = (
    "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect",
    "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip
NODE_OF_EDGE = [node for node in range(4) for _ in range(node + 2)]
EPOCHS = 50


def softmax(rows: np.ndarray) -> np.ndarray:
    powers = np.exp(rows - rows.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def between_0_and_1(values: np.ndarray) -> np.ndarray:
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)


class OfficialCell:
    """The decisions of one cell type. `state` is -1 undecided, 0 pruned, else the operation."""

    def __init__(self, *, uses_history: bool) -> None:
        self.uses_history, self.history = uses_history, []
        self.state = np.full(14, -1)
        self.taken: list[tuple[int, int, int]] = []

    def finish_epoch(self, epoch: int, alpha: np.ndarray) -> None:
        """Take the decision that is due at the end of an epoch (from 0)."""
        mixing = softmax(alpha)
        # The importance of an edge is what it gives to operations other than `none`; with those
        # alone, certainty is one minus the relative entropy.
        importance = mixing[:, 1:].sum(1)
        choice = mixing[:, 1:] / importance[:, None]
        certainty = 1 + (choice * np.log(choice)).sum(1) / np.log(7)
        score = between_0_and_1(importance) * between_0_and_1(certainty)
        if self.uses_history:
            overlaps = [np.minimum(before, choice).sum(1) for before in self.history]
            stability = np.mean(overlaps, 0) if overlaps else np.zeros(14)
            score = score * between_0_and_1(stability)
            self.history = [*self.history, choice][-4:]
        open_edges = np.flatnonzero(self.state == -1)
        if epoch < 9 or (epoch - 9) % 5 or not len(open_edges):
            return
        edge = int(open_edges[score[open_edges].argmax()])
        self.state[edge] = 1 + choice[edge].argmax()
        self.taken.append((epoch, edge, int(self.state[edge])))
        node = [e for e in range(14) if NODE_OF_EDGE[e] == NODE_OF_EDGE[edge]]
        if sum(self.state[e] > 0 for e in node) == 2:
            self.state[[e for e in node if self.state[e] == -1]] = 0


class OurCells:
    """Both cell types by the engine, their alphas on a given walk."""

    def __init__(self, *, uses_history: bool) -> None:
        names = {cell: [NAMES] * 14 for cell in CELLS}
        self.rule = Greedy(names, EPOCHS, rest=0.18, uses_history=uses_history)
        self.alphas = {cell: torch.zeros(14, 8).double() for cell in CELLS}
        self.taken: dict[str, list[tuple[int, int, int]]] = {cell: [] for cell in CELLS}

    def finish_epoch(self, epoch: int, step: np.ndarray) -> None:
        """Move the alphas that may move, and decide what is due (epochs from 0)."""

        def move() -> None:
            for alpha, by in zip(self.alphas.values(), step, strict=True):
                alpha.add_(torch.from_numpy(by))

        self.rule.hold(self.alphas, move)
        relaxed = {cell: alpha.softmax(-1) for cell, alpha in self.alphas.items()}
        for found in self.rule.finish_epoch(epoch + 1, relaxed):
            self.taken[found.cell].append((found.epoch - 1, found.edge, found.column))


@pytest.mark.parametrize("uses_history", [False, True], ids=["criterion 1", "criterion 2"])
def test_whole_searches_decide_edge_after_edge_as_the_official_code(uses_history: bool):
    assert decision_epochs(EPOCHS, 8, 0.18) == [epoch + 1 for epoch in range(9, 45, 5)]
    for seed in range(10):
        steps = np.random.default_rng(seed).normal(0, 0.15, (EPOCHS, 2, 14, 8))
        ours = OurCells(uses_history=uses_history)
        official = [OfficialCell(uses_history=uses_history) for _ in CELLS]
        alphas = np.zeros((2, 14, 8))
        for epoch, step in enumerate(steps):
            ours.finish_epoch(epoch, step)
            for cell, alpha, by in zip(official, alphas, step, strict=True):
                # A decided or pruned edge no longer learns.
                alpha[cell.state == -1] += by[cell.state == -1]
                cell.finish_epoch(epoch, alpha)
        for cell, name, alpha in zip(official, CELLS, alphas, strict=True):
            assert ours.taken[name] == cell.taken
            assert len(cell.taken) == 8
            assert np.abs(ours.alphas[name].numpy() - alpha).max() < 1e-14


class Decided:
    """A reference whose edges are decided one after the other.

    Attributes:
        columns: by cell and edge, the only operation that is left; None of a pruned edge.
    """

    def __init__(self, theirs: Reference) -> None:
        self.theirs = theirs
        self.columns: dict[str, dict[int, int | None]] = {cell: {} for cell in CELLS}

    def mix(self, alphas: dict[str, torch.Tensor]):
        """Softmax on undecided edges, the operation itself on decided ones, nothing on others."""
        rows = {}
        for cell in CELLS:
            found = []
            for edge, row in enumerate(torch.softmax(alphas[cell], -1)):
                if edge in self.columns[cell]:
                    kept = self.columns[cell][edge]
                    found.append([1.0 if o == kept else None for o in range(len(row))])
                else:
                    found.append(list(row))
            rows[cell] = found
        return pairs(rows, {})

    def alpha_step(self, epoch: int, number: int) -> None:
        before = {cell: alpha.detach().clone() for cell, alpha in self.theirs.alphas.items()}
        self.theirs.alpha_step(batch("alpha", epoch, number))
        with torch.no_grad():
            for cell in CELLS:
                for edge in self.columns[cell]:
                    self.theirs.alphas[cell][edge] = before[cell][edge]

    def decide(self, line: str) -> None:
        """Read a decision from the engine's log; the order is held by the test above."""
        found = re.match(r"decided in the (\w+) cell: node (\d) takes (\w+) from state (\d)", line)
        assert found is not None
        cell, node, name, source = found[1], int(found[2]) - 2, found[3], int(found[4])
        start = sum(n + 2 for n in range(node))
        edges = self.columns[cell]
        edges[start + source] = NAMES.index(name)
        into = range(start, start + node + 2)
        if sum(edges.get(edge) is not None for edge in into) == 2:
            edges.update({edge: None for edge in into if edge not in edges})


def test_steps_before_between_and_after_the_decisions():
    """Four decisions of each cell in four epochs; at the end one operation per edge is left."""
    ours = search(search__method="sgas", method__decide_after=0.0)
    reference = Reference(ours)
    theirs = Decided(reference)
    reference.mix = theirs.mix
    for epoch in range(1, 5):
        ours.begin_epoch(epoch)
        reference.begin_epoch(epoch)
        ours.step(epoch, 1)
        theirs.alpha_step(epoch, 1)
        reference.weight_step(batch("weights", epoch, 1))
        found = differences(ours, reference)
        # The statistics of poolings differ: the official ones of an edge rest with the edge.
        assert max(found[part] for part in ("alphas", "weights", "momentum", "losses")) < 1e-12
        lines = ours.method.decide(epoch)
        assert len(lines) == 2
        for line in lines:
            theirs.decide(line)
    assert [len(theirs.columns[cell]) for cell in CELLS] == [5, 5]
