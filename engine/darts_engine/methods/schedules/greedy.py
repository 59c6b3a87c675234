"""The schedule "greedy": edges are decided one after the other while the search goes on.

Li et al., SGAS, CVPR 2020, arXiv 1912.00195, section 3, with the measures of its code. At a
decision, the undecided edge with the highest score of each cell takes its strongest operation for
good: only that is computed from then on, at weight 1. A node that has its two edges loses the
others. Shapes: E edges, O operations.

DEVIATION: the official code enlarges the batch after each decision, because memory becomes free.
Here the batch stays, so that steps and epochs have the same size throughout the log.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.layers.operations import NONE
from darts_engine.run.architecture.derivation import INPUTS_PER_NODE, node_count
from darts_engine.supernet.mixing import Matrices, Mixing

# Epochs whose choices stability compares with.
HISTORY = 4


def importance(weights_EO: Tensor, counts_EO: Tensor) -> Tensor:
    """The weight that an edge gives to its operations other than none, (E,).

    Args:
        weights_EO: mixing weights.
        counts_EO: 1 where an operation may be chosen, 0 at none.
    """
    return (weights_EO * counts_EO).sum(1)


def choices(weights_EO: Tensor, counts_EO: Tensor) -> Tensor:
    """The weights of the operations other than none, scaled to sum to 1, (E, O)."""
    kept = weights_EO * counts_EO
    return kept / kept.sum(1, keepdim=True)


def certainty(choices_EO: Tensor, counts_EO: Tensor) -> Tensor:
    """1 minus the entropy of an edge's choice, relative to the largest possible, (E,)."""
    entropy = -torch.special.xlogy(choices_EO, choices_EO).sum(1)
    largest = counts_EO.sum(1).clamp(min=2).log()
    certain: Tensor = 1 - entropy / largest
    return certain


def stability(choices_EO: Tensor, history: Sequence[Tensor]) -> Tensor:
    """The mean overlap (sum of min) with the choices of earlier epochs, (E,); 0 without any."""
    if not history:
        return choices_EO.new_zeros(len(choices_EO))
    overlaps = [torch.minimum(choices_EO, before).sum(1) for before in history]
    return torch.stack(overlaps).mean(0)


def normalised(values_E: Tensor) -> Tensor:
    """Values (E,) scaled so that the lowest is 0 and the highest 1; zeros where all are equal."""
    lowest, highest = values_E.aminmax()
    if highest == lowest:
        return torch.zeros_like(values_E)
    return (values_E - lowest) / (highest - lowest)


def decision_epochs(epochs: int, decisions: int, rest: float) -> list[int]:
    """The epochs (from 1) at whose ends an edge of each cell is decided.

    With 50 epochs, 8 decisions and a rest of 0.18 they are 10, 15, ... 45, as published. A short
    search takes several decisions in one epoch.

    Args:
        epochs: of the whole search.
        decisions: in each cell.
        rest: fraction of the epochs before the first decision.
    """
    share = (1 - rest) / decisions
    # 1e-9, so that rounding does not take a product like 0.18 * 50 below 9.
    return [
        min(epochs, math.floor(epochs * (rest + share * k) + 1e-9) + 1) for k in range(decisions)
    ]


class Decision(NamedTuple):
    """An edge of a cell keeps one operation, `column`, from the end of `epoch` on."""

    cell: str
    edge: int
    column: int
    epoch: int


class Greedy:
    """Decides edges, and puts the decisions into every mixing.

    Args:
        names: each cell's candidates, edge by edge.
        epochs: of the whole search.
        rest: fraction of the epochs before the first decision.
        uses_history: criterion 2 of the paper: stability counts too.
    """

    def __init__(
        self,
        names: Mapping[str, Sequence[Sequence[str]]],
        epochs: int,
        *,
        rest: float,
        uses_history: bool,
    ) -> None:
        self._names, self._uses_history = names, uses_history
        self._ends = {
            cell: [node for node in range(node_count(len(edges))) for _ in range(node + 2)]
            for cell, edges in names.items()
        }
        nodes = max(self._ends["normal"]) + 1
        self._epochs = decision_epochs(epochs, INPUTS_PER_NODE * nodes, rest)
        self._decided: dict[str, dict[int, tuple[int, int]]] = {cell: {} for cell in names}
        self._history: dict[str, list[Tensor]] = {cell: [] for cell in names}
        self._fixed: dict[str, tuple[Tensor, Tensor]] = {}

    # Decisions ------------------------------------------------------------------------------------

    def finish_epoch(self, epoch: int, weights: Matrices) -> list[Decision]:
        """Take the decisions that are due at an epoch's end.

        Args:
            epoch: from 1.
            weights: each cell's relaxed (E, O) weights, without the decisions so far.
        """
        taken: list[Decision] = []
        for cell in self._names:
            known = weights[cell].detach().double().cpu()
            counts = self._counts(cell)
            chosen = choices(known, counts)
            for _ in range(self._epochs.count(epoch)):
                scores = self._scores(cell, known, chosen, counts)
                edge = max(self._candidates(cell), key=scores.tolist().__getitem__)
                column = int(chosen[edge].argmax())
                self._decided[cell][edge] = (column, epoch)
                taken.append(Decision(cell, edge, column, epoch))
            self._history[cell] = [*self._history[cell], chosen][-HISTORY:]
        if taken:
            self._fixed = {}
        return taken

    def _counts(self, cell: str) -> Tensor:
        """1 where an operation may be chosen, 0 at none, (E, O)."""
        rows = [[float(name != NONE) for name in names] for names in self._names[cell]]
        return torch.tensor(rows, dtype=torch.float64)

    def _scores(self, cell: str, known: Tensor, chosen: Tensor, counts: Tensor) -> Tensor:
        # Criterion 1: N(importance) N(certainty); criterion 2: that times N(stability).
        scores = normalised(importance(known, counts)) * normalised(certainty(chosen, counts))
        if self._uses_history:
            scores = scores * normalised(stability(chosen, self._history[cell]))
        return scores

    def _candidates(self, cell: str) -> list[int]:
        """Undecided edges of nodes that do not have all their inputs."""
        return [
            edge
            for edge in range(len(self._ends[cell]))
            if edge not in self._decided[cell] and not self._is_pruned(cell, edge)
        ]

    def _is_pruned(self, cell: str, edge: int) -> bool:
        node = self._ends[cell][edge]
        kept = [e for e in self._decided[cell] if self._ends[cell][e] == node]
        return len(kept) >= INPUTS_PER_NODE and edge not in kept

    def explain(self, decision: Decision) -> str:
        """A line for people about a decision."""
        node = self._ends[decision.cell][decision.edge]
        source = decision.edge - self._ends[decision.cell].index(node)
        name = self._names[decision.cell][decision.edge][decision.column]
        left = len(self._candidates(decision.cell))
        return (
            f"decided in the {decision.cell} cell: node {node + 2} takes {name} from state "
            f"{source}; edges left undecided: {left}"
        )

    # Decided edges --------------------------------------------------------------------------------

    def settled(self, mixing: Mixing) -> Mixing:
        """The same mixing with decided edges at weight 1 on their operation, pruned ones at 0."""
        fixed = self._fix(mixing.weights)
        if not fixed:
            return mixing
        weights, active = dict(mixing.weights), {}
        for cell, rows in mixing.weights.items():
            mask, settled = fixed[cell]
            weights[cell] = torch.where(mask[:, None], settled.to(rows.dtype), rows)
            asked = None if mixing.active is None else mixing.active[cell]
            active[cell] = [
                columns if columns is not None else tuple(asked[edge] if asked else range(count))
                for edge, (columns, count) in enumerate(self._columns(cell))
            ]
        return mixing._replace(weights=weights, active=active)

    def _columns(self, cell: str) -> list[tuple[tuple[int, ...] | None, int]]:
        """For each edge the columns it keeps (None while undecided), and how many it has."""
        undecided = set(self._candidates(cell))
        found: list[tuple[tuple[int, ...] | None, int]] = []
        for edge, names in enumerate(self._names[cell]):
            settled: tuple[int, ...] | None = None
            if edge in self._decided[cell]:
                settled = (self._decided[cell][edge][0],)
            elif edge not in undecided:
                settled = tuple(column for column, name in enumerate(names) if name == NONE)
            found.append((settled, len(names)))
        return found

    def _fix(self, like: Matrices) -> dict[str, tuple[Tensor, Tensor]]:
        """By cell the mask (E,) of settled edges and their rows (E, O); {} before a decision."""
        if not self._fixed and any(self._decided.values()):
            for cell, matrix in like.items():
                columns = [settled for settled, _ in self._columns(cell)]
                rows = torch.zeros(matrix.shape)
                for edge, settled in enumerate(columns):
                    rows[edge, list(settled or ())] = 1.0
                mask = torch.tensor([settled is not None for settled in columns])
                self._fixed[cell] = mask.to(matrix.device), rows.to(matrix.device)
        return self._fixed

    def hold(self, alphas: Matrices, move: Callable[[], None]) -> None:
        """Move alpha, except for the rows of decided and pruned edges.

        Their gradient is zero, but Adam's momentum and weight decay would go on moving them.

        Args:
            alphas: raw (E, O) matrices by cell, changed in place.
            move: one step of the optimizer on all alphas.
        """
        fixed = self._fix(alphas)
        before = {cell: alpha.detach().clone() for cell, alpha in alphas.items()}
        move()
        with torch.no_grad():
            for cell, alpha in alphas.items():
                if cell in fixed:
                    mask, _ = fixed[cell]
                    alpha.copy_(torch.where(mask[:, None], before[cell], alpha))

    def state(self) -> dict[str, Any]:
        """Decisions and history."""
        decided = [
            [cell, edge, column, epoch]
            for cell, edges in self._decided.items()
            for edge, (column, epoch) in edges.items()
        ]
        return {"decided": decided, "history": self._history}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._decided = {cell: {} for cell in self._names}
        for cell, edge, column, epoch in state["decided"]:
            self._decided[cell][edge] = (column, epoch)
        self._history = {cell: list(found) for cell, found in state["history"].items()}
        self._fixed = {}
