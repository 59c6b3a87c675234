"""The supernet of DARTS' cells as the papers' code computes it: one edge after the other.

It extends `supernet/plain.py` by what later papers added, each written from the paper: candidates
of each edge's own (S1 to S4, arXiv 1909.09656), partial channels and shares of edges (PC-DARTS,
1907.05737), the auxiliary skip (DARTS-, 2009.01027) and drop path on edges (R-DARTS, 1909.09656).
All that is random comes from `Draws`. Shapes: B batch, C channels, H W space, E edges,
O operations, K the part of the channels.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.supernet.plain import (
    FactorizedReduce,
    PlainSupernet,
    Stack,
    depthwise_separable,
    operation,
)

CELLS = ("normal", "reduce")


class Draws:
    """The draws that a network takes, in its own order: cell by cell, edge by edge.

    Attributes:
        masks: of drop path, (B, 1, 1, 1) of zeros and ones.
        keep: the probability of a one.
        noise: outputs of the operation `noise`, (B, C / K, H', W').
        skip_keep: P-DARTS: the probability that an entry of a skip of stride 1 stays.
        skip_masks: of these skips, (B, C / K, H, W) of zeros and ones.
        auxiliary: the factor of the auxiliary skips.
    """

    def __init__(self) -> None:
        self.masks: deque[Tensor] = deque()
        self.noise: deque[Tensor] = deque()
        self.skip_masks: deque[Tensor] = deque()
        self.keep = self.skip_keep = 1.0
        self.auxiliary = 1.0


class Noise(nn.Module):
    """Standard normal noise instead of the input, at the resolution of the output."""

    def __init__(self, stride: int, chance: Draws) -> None:
        super().__init__()
        self.stride, self.chance = stride, chance

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H', W')."""
        drawn = self.chance.noise.popleft()
        assert drawn.shape == x[:, :, :: self.stride, :: self.stride].shape
        return drawn


class Skip(nn.Module):
    """A skip of stride 1, whose entries may be dropped (P-DARTS)."""

    def __init__(self, chance: Draws) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        if self.chance.skip_keep == 1 or not self.training:
            return x
        return x * self.chance.skip_masks.popleft() / self.chance.skip_keep


def candidate(name: str, channels: int, stride: int, chance: Draws) -> nn.Module:
    """An operation of any of the spaces with DARTS' cells, with the names of the official code."""
    if name == "noise":
        return Noise(stride, chance)
    if name == "skip_connect" and stride == 1:
        return Skip(chance)
    if name == "sep_conv_7x7":
        first, second = (depthwise_separable(channels, 7, s) for s in (stride, 1))
        return Stack(*first, *second)
    if name == "conv_7x1_1x7":
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
            nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
            nn.BatchNorm2d(channels, affine=False),
        )
    return operation(name, channels, stride)


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Channel g * C / K + c of (B, C, H, W) goes to place c * K + g."""
    order = torch.arange(x.shape[1]).view(groups, -1).t().flatten()
    return x[:, order]


class Edge(nn.Module):
    """A mixed edge of any of the papers.

    Args:
        names: its candidates.
        channels: C of the state.
        stride: 1 or 2.
        partial: K.
        chance: shared by all edges.
        auxiliary: whether a skip lies beside the candidates.
    """

    def __init__(
        self,
        names: Sequence[str],
        channels: int,
        stride: int,
        partial: int,
        chance: Draws,
        *,
        auxiliary: bool,
    ) -> None:
        super().__init__()
        self.stride, self.partial, self.chance = stride, partial, chance
        self._ops = nn.ModuleList(
            candidate(name, channels // partial, stride, chance) for name in names
        )
        self.aux: nn.Module | None = None
        if auxiliary:
            self.aux = nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)

    def forward(self, x: Tensor, weights: tuple[Sequence[Tensor | None] | Tensor, Tensor]):
        """(B, C, H, W) to (B, C, H', W').

        Args:
            x: the state.
            weights: a weight for each candidate, None for one that is not computed, and the share
                of the whole edge.
        """
        row, share = weights
        taken = x.shape[1] // self.partial
        chosen, passing = x[:, :taken], x[:, taken:]
        terms = [w * op(chosen) for w, op in zip(row, self._ops, strict=True) if w is not None]
        like = chosen[:, :, :: self.stride, :: self.stride]
        out = sum(terms, torch.zeros_like(like))
        if self.aux is not None:
            out = out + self.chance.auxiliary * self.aux(x)
        if self.training and self.chance.keep < 1:
            out = out / self.chance.keep * self.chance.masks.popleft()
        if self.partial > 1:
            if self.stride == 2:
                passing = functional.max_pool2d(passing, 2, 2)
            out = shuffled(torch.cat([out, passing], 1), self.partial)
        return share * out


class OfficialCells(PlainSupernet):
    """`PlainSupernet` with `Edge`s. `forward` takes (row, share) pairs of each edge.

    Args:
        names: the candidates by cell type and edge.
        nodes: of a cell.
        channels: C of the first cell.
        layers: cells.
        in_channels: of the images.
        classes: outputs.
        partial: K.
        auxiliary: whether every edge has an auxiliary skip.
    """

    def __init__(
        self,
        names: Mapping[str, Sequence[Sequence[str]]],
        *,
        nodes: int,
        channels: int,
        layers: int,
        in_channels: int,
        classes: int,
        partial: int = 1,
        auxiliary: bool = False,
    ) -> None:
        super().__init__((), nodes, channels, layers, in_channels, classes)
        self.chance = Draws()
        for layer, cell in enumerate(self.cells):
            is_reduction = layer in self.reductions
            channels *= 2 if is_reduction else 1
            sources = [source for node in range(nodes) for source in range(node + 2)]
            edges = names["reduce" if is_reduction else "normal"]
            cell._ops = nn.ModuleList(
                Edge(
                    edge,
                    channels,
                    2 if is_reduction and source < 2 else 1,
                    partial,
                    self.chance,
                    auxiliary=auxiliary,
                )
                for source, edge in zip(sources, edges, strict=True)
            )


def shares(beta_E: Tensor | None, edges: int) -> Sequence[Tensor]:
    """PC-DARTS, eq. 4: softmax over the edges into each node, which are 2, 3, 4, ...; or ones."""
    if beta_E is None:
        return [torch.ones((), dtype=torch.float64)] * edges
    groups, into = [], 2
    while sum(groups) < edges:
        groups.append(into)
        into += 1
    return torch.cat([torch.softmax(part, 0) for part in beta_E.split(groups)]).unbind()


def softmax_mix(alphas: Mapping[str, Tensor]) -> tuple[object, object]:
    """DARTS, eq. 2, with shares of edges where there are alphas of edges: both cells' pairs."""
    return pairs({cell: torch.softmax(alphas[cell], -1) for cell in CELLS}, alphas)


def pairs(rows: Mapping[str, Sequence], alphas: Mapping[str, Tensor]) -> tuple[object, object]:
    """Mixing weights by cell and edge as `OfficialCells.forward` takes them."""
    normal, reduce = (
        list(zip(rows[cell], shares(alphas.get(f"{cell}_edges"), len(rows[cell])), strict=True))
        for cell in CELLS
    )
    return normal, reduce
