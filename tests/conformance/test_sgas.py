"""SGAS: whole searches of alphas and a step with decisions, against the official rule.

github.com/lightaime/sgas, commit 46b00390: `edge_decision` of cnn/train_search.py and `check_edges`
of cnn/model_search.py, with its published numbers: 50 epochs, the first decision after epoch 9
(from 0), one more every fifth epoch, and a history of four epochs.
"""

import numpy as np
import pytest
import torch

from darts_engine.methods.schedules.greedy import Greedy, decision_epochs

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


@pytest.mark.parametrize("uses_history", [False, True], ids=["criterion 1", "criterion 2"])
def test_whole_searches_decide_edge_after_edge_as_the_official_code(uses_history: bool):
    assert decision_epochs(EPOCHS, 8, 0.18) == [epoch + 1 for epoch in range(9, 45, 5)]
    for seed in range(10):
        draws = np.random.default_rng(seed)
        steps = draws.normal(0, 0.15, (EPOCHS, 2, 14, 8))
        rule = Greedy(
            {cell: [NAMES] * 14 for cell in ("normal", "reduce")},
            EPOCHS, rest=0.18, uses_history=uses_history,
        )  # fmt: skip
        official = [OfficialCell(uses_history=uses_history) for _ in range(2)]
        alphas = {cell: torch.zeros(14, 8).double() for cell in ("normal", "reduce")}
        theirs, found = np.zeros((2, 14, 8)), []
        for epoch, step in enumerate(steps):

            def move(step=step) -> None:
                for alpha, by in zip(alphas.values(), step, strict=True):
                    alpha += torch.from_numpy(by)

            # A decided or pruned edge no longer learns.
            rule.hold(alphas, move)
            found += rule.finish_epoch(
                epoch + 1, {cell: alpha.softmax(-1) for cell, alpha in alphas.items()}
            )
            for cell, alpha, by in zip(official, theirs, step, strict=True):
                alpha[cell.state == -1] += by[cell.state == -1]
                cell.finish_epoch(epoch, alpha)
        for number, name in enumerate(("normal", "reduce")):
            assert [
                (d.epoch - 1, d.edge, d.column) for d in found if d.cell == name
            ] == official[number].taken  # fmt: skip
            assert len(official[number].taken) == 8
            assert np.abs(alphas[name].numpy() - theirs[number]).max() < 1e-14
