"""A cell of the supernet: states, the mixed edges between them, and what the edges share.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.2. Shapes: B batch, C channels, H W space,
E edges, O operations.

What depends only on an edge's source state and stride is computed once per source, not once per
edge: the ReLU in front of the convolutions, both poolings with their batch norm, and the stride-1
skip. The sums are the same; a normal cell has 5 sources and 14 edges. `none` adds nothing and is
not computed; its alpha still takes part in the softmax.

What other papers change in an edge is in `Design`: candidates of its own for each edge (S1 to S4,
P-DARTS), partial channels (PC-DARTS), an auxiliary skip (DARTS-); and in `chance.py`: drop path,
skip dropout, noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.layers import operations
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.operations import (
    AVG_POOL,
    MAX_POOL,
    NOISE,
    NONE,
    SKIP,
    ConvNorm,
    FactorizedReduce,
    WeightedOperation,
)
from darts_engine.layers.slices import channels_apart, every_other
from darts_engine.supernet.stochastic import StochasticOps
from darts_engine.supernet.weighted_sum import Summand, weighted_sum
from darts_engine.supernet.wide_edges import Norm, WideEdges, same_candidates, should_fuse, together

WEIGHTLESS = {NONE, NOISE, MAX_POOL, AVG_POOL}

# A shuffle of so many channels is a product with a matrix.
FEW_CHANNELS = 16

# Candidates in alpha's column order: the same for all edges, or each cell's, edge by edge.
Names = Sequence[str] | Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Design:
    """What makes up the cells.

    Attributes:
        names: the candidate operations; all edges of a cell have equally many.
        nodes: intermediate nodes per cell.
        partial: K; the operations see C / K channels of a state, the others pass by (PC-DARTS, Xu
            et al., 2020, arXiv 1907.05737). C / K must be even.
        auxiliary_skip: every edge has a skip beside its candidates, whose factor the search lowers
            to 0 (DARTS-, Chu et al., 2021, arXiv 2009.01027).
    """

    names: Names = operations.PRIMITIVES
    nodes: int = 4
    partial: int = 1
    auxiliary_skip: bool = False

    @property
    def edges(self) -> int:
        """Edges of a cell: 2 + 3 + ... one more for each node."""
        return sum(range(2, self.nodes + 2))

    def of(self, cell: str) -> list[tuple[str, ...]]:
        """A cell's candidates, edge by edge."""
        if isinstance(self.names, Mapping):
            return [tuple(names) for names in self.names[cell]]
        return [tuple(self.names)] * self.edges


@dataclass
class SourceFeatures:
    """One state as its outgoing edges see it.

    Attributes:
        rectified: relu of the operations' channels, what convolutions take.
        shared: outputs of the weightless operations by name.
        beside: the channels that pass the operations by, at the edges' resolution; None when all
            channels take part.
    """

    rectified: Tensor
    shared: dict[str, Tensor]
    beside: Tensor | None


class Source(nn.Module):
    """What a state's outgoing edges share, at one stride."""

    def __init__(self, channels: int, stride: int, names: set[str], partial: int) -> None:
        super().__init__()
        self.stride = stride
        self.channels = channels // partial
        self.max_norm = BatchNorm(self.channels, affine=False) if MAX_POOL in names else None
        self.avg_norm = BatchNorm(self.channels, affine=False) if AVG_POOL in names else None
        self.norms = Norm()

    def forward(self, x: Tensor, needed: set[str] | None = None) -> SourceFeatures:
        """Look at a state (B, C, H, W); of the shared operations only the `needed`, or all."""
        beside: Tensor | None = None
        if self.channels < x.shape[1]:
            # Each is read by many edges: what lies together is read in one go.
            x, beside = channels_apart(x, (self.channels, x.shape[1] - self.channels))
            if self.stride == 2:
                # DEVIATION: the official code cannot take odd sizes; ours rounds up like the rest.
                beside = functional.max_pool2d(beside, 2, 2, ceil_mode=True)
        shared = self._pooled(x, needed)
        if self.stride == 1:
            shared[SKIP] = x
        return SourceFeatures(functional.relu(x), shared, beside)

    def _pooled(self, x: Tensor, needed: set[str] | None) -> dict[str, Tensor]:
        norms, pooled = [], {}
        for name, norm, pool in (
            (MAX_POOL, self.max_norm, operations.max_pool),
            (AVG_POOL, self.avg_norm, operations.avg_pool),
        ):
            if norm is not None and (needed is None or name in needed):
                norms.append(norm)
                pooled[name] = pool(x, self.stride)
        if len(norms) > 1 and together(norms[0], x):
            both = self.norms(torch.cat(list(pooled.values()), 1), norms)
            return dict(zip(pooled, both.chunk(2, 1), strict=True))
        return {name: norm(pooled[name]) for name, norm in zip(pooled, norms, strict=True)}


class MixedEdge(nn.Module):
    """One edge: the weighted sum of its candidate operations (eq. 2)."""

    def __init__(
        self,
        names: Sequence[str],
        channels: int,
        stride: int,
        stochastic: StochasticOps,
        *,
        auxiliary_skip: bool,
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.stride = stride
        self.stochastic = stochastic
        weightless = WEIGHTLESS | ({SKIP} if stride == 1 else set())
        self.weighted = nn.ModuleDict(
            {
                name: operations.weighted_operation(name, channels, stride, affine=False)
                for name in names
                if name not in weightless
            }
        )
        self.has_auxiliary_skip = auxiliary_skip
        self.auxiliary = (
            FactorizedReduce(channels, channels, affine=False)
            if auxiliary_skip and stride == 2
            else None
        )

    def forward(
        self, features: SourceFeatures, weights_O: Tensor, active: Sequence[int] | None = None
    ) -> Tensor:
        """The edge's output, (B, C, H', W').

        Only the `active` columns are computed, or all. The weights of the others, which are zero,
        are added as numbers for their gradient's sake.
        """
        summands = [
            self._summand(column, name, features)
            for column, name in enumerate(self.names)
            if name != NONE and (active is None or column in active)
        ]
        if summands:
            out = weighted_sum(weights_O, summands)
        else:
            out = torch.zeros_like(every_other(features.rectified, self.stride))
        if active is not None and weights_O.requires_grad:
            others = [w for o, w in enumerate(weights_O.unbind()) if o not in active]
            out = out + sum(others[1:], others[0]) if others else out
        return self.finished(out, features)

    def finished(self, out: Tensor, features: SourceFeatures) -> Tensor:
        """A weighted sum as it leaves the edge: with the auxiliary skip, and not without a path."""
        if self.has_auxiliary_skip:
            out = out + self.stochastic.auxiliary * self._auxiliary_skip(features)
        if self.training and self.stochastic.drop_path:
            out = self.stochastic.without_paths(out)
        return out

    def _summand(self, column: int, name: str, features: SourceFeatures) -> Summand:
        if name == NOISE:
            like = every_other(features.rectified, self.stride)
            return Summand(column, self.stochastic.noise(like))
        if name not in features.shared:
            operation = self.weighted[name]
            assert isinstance(operation, WeightedOperation)
            return Summand(column, operation.before_norm(features.rectified), operation.last_norm)
        values = features.shared[name]
        if name == SKIP and self.training and self.stochastic.skip_dropout:
            values = self.stochastic.without_skips(values)
        return Summand(column, values)

    def operations(self) -> dict[str, WeightedOperation]:
        """Those with weights, by name."""
        return {
            name: operation
            for name, operation in self.weighted.items()
            if isinstance(operation, WeightedOperation)
        }

    def _auxiliary_skip(self, features: SourceFeatures) -> Tensor:
        if self.auxiliary is None:
            return features.shared[SKIP]
        out: Tensor = self.auxiliary(features.rectified)
        return out


class SearchCell(nn.Module):
    """A cell whose node i sums mixed edges from states 0 .. i + 1 and that concatenates its nodes.

    In a reduction cell the edges from the two inputs have stride 2.
    """

    def __init__(
        self,
        design: Design,
        channels_before: tuple[int, int],
        channels: int,
        stochastic: StochasticOps,
        *,
        is_reduction: bool,
        follows_reduction: bool,
    ) -> None:
        super().__init__()
        self.nodes, self.partial = design.nodes, design.partial
        self.names = names = design.of("reduce" if is_reduction else "normal")
        ends = [(state, node) for node in range(self.nodes) for state in range(node + 2)]
        self.leaving = [
            [edge for edge, (state, _) in enumerate(ends) if state == source]
            for source in range(self.nodes + 1)
        ]
        earlier = FactorizedReduce if follows_reduction else ConvNorm
        self.preprocess0 = earlier(channels_before[0], channels, affine=False)
        self.preprocess1 = ConvNorm(channels_before[1], channels, affine=False)

        def stride(state: int) -> int:
            return 2 if is_reduction and state < 2 else 1

        self.sources = nn.ModuleList(
            Source(
                channels,
                stride(state),
                {name for edge in self.leaving[state] for name in names[edge]},
                design.partial,
            )
            for state in range(self.nodes + 1)
        )
        self.edges = nn.ModuleList(
            MixedEdge(
                names[edge],
                channels // design.partial,
                stride(state),
                stochastic,
                auxiliary_skip=design.auxiliary_skip,
            )
            for edge, (state, _) in enumerate(ends)
        )
        # Indexing a list of modules is slow.
        self._each = [edge for edge in self.edges if isinstance(edge, MixedEdge)]
        self.stochastic = stochastic
        self.wide = WideEdges()
        # Of each state the operations of its edges, where one wide edge can stand for them.
        self.fusable = [self._same_candidates_from(leaving) for leaving in self.leaving]

    def forward(
        self,
        x0: Tensor,
        x1: Tensor,
        weights_EO: Tensor,
        shares_E: Tensor | None = None,
        active: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """Rectified outputs of the two cells before, to (B, nodes * C, H', W')."""
        if shares_E is not None:
            weights_EO = weights_EO * shares_E[:, None]
        states = [self.preprocess0(x0), self.preprocess1(x1)]
        features = [self._features(0, states[0], active), self._features(1, states[1], active)]
        sums = self._wide_sums(0, features[0], weights_EO, active)
        sums |= self._wide_sums(1, features[1], weights_EO, active)
        edge = 0
        for node in range(self.nodes):
            outputs: list[Tensor] = []
            passed: Tensor | None = None
            for source in features:
                columns = None if active is None else active[edge]
                if edge in sums:
                    outputs.append(self._each[edge].finished(sums.pop(edge), source))
                else:
                    outputs.append(self._each[edge](source, weights_EO[edge], columns))
                if source.beside is not None:
                    share = source.beside.new_ones(()) if shares_E is None else shares_E[edge]
                    if passed is None:
                        passed = share * source.beside
                    else:
                        passed = torch.addcmul(passed, source.beside, share)
                edge += 1
            total = sum(outputs[1:], outputs[0])
            if passed is not None:
                total = shuffled(total, passed, self.partial)
            states.append(total)
            if node + 1 < self.nodes:
                features.append(self._features(node + 2, states[-1], active))
                sums |= self._wide_sums(node + 2, features[-1], weights_EO, active)
        return torch.cat(states[2:], 1)

    def _features(
        self, state: int, x: Tensor, active: Sequence[Sequence[int]] | None
    ) -> SourceFeatures:
        needed: set[str] | None = None
        if active is not None:
            leaving = self.leaving[state]
            needed = {self.names[e][column] for e in leaving for column in active[e]}
        features: SourceFeatures = self.sources[state](x, needed)
        return features

    def _wide_sums(
        self,
        state: int,
        features: SourceFeatures,
        weights_EO: Tensor,
        active: Sequence[Sequence[int]] | None,
    ) -> dict[int, Tensor]:
        """The weighted sums of the edges that leave a state, by edge, where one pass gives all."""
        each = self.fusable[state]
        drops = self.training and self.stochastic.skip_dropout
        if active is not None or drops or each is None:
            return {}
        if not should_fuse(each, features.rectified, weights_EO):
            return {}
        leaving = self.leaving[state]
        names = self.names[leaving[0]]
        sums = self.wide(names, each, features.rectified, features.shared, weights_EO[leaving])
        return dict(zip(leaving, sums, strict=True))

    def _same_candidates_from(
        self, leaving: Sequence[int]
    ) -> list[dict[str, WeightedOperation]] | None:
        each = [self._each[edge].operations() for edge in leaving]
        return each if same_candidates(each, [self.names[edge] for edge in leaving]) else None


def shuffled(first: Tensor, others: Tensor, groups: int) -> Tensor:
    """Both side by side and shuffled: channel c of group g to place c * groups + g (PC-DARTS).

    Args:
        first: the first group's channels, (B, C / groups, H, W).
        others: those of the other groups, (B, C - C / groups, H, W).
        groups: K.

    Memory stays channels-last, where it is.
    """
    batch, channels, height, width = first.shape
    if _multiplies(first, groups):
        order = torch.arange(groups * channels).view(groups, channels).t().flatten()
        matrix = torch.eye(len(order), dtype=first.dtype)[:, order]
        rows, other_rows = (t.permute(0, 2, 3, 1).flatten(0, 2) for t in (first, others))
        mixed = torch.addmm(rows @ matrix[:channels], other_rows, matrix[channels:])
        return mixed.view(batch, height, width, -1).permute(0, 3, 1, 2)
    x = torch.cat([first, others], 1)
    if x.is_contiguous():
        planes = x.view(batch, groups, channels, height, width).transpose(1, 2)
        return planes.reshape(x.shape)
    apart = x.permute(0, 2, 3, 1).reshape(batch, height, width, groups, channels)
    return apart.transpose(3, 4).flatten(3).permute(0, 3, 1, 2)


def _multiplies(first: Tensor, groups: int) -> bool:
    """Whether moving so few channels about costs the CPU more than a product with a matrix."""
    return (
        first.device.type == "cpu"
        and groups * first.shape[1] <= FEW_CHANNELS
        and not first.is_contiguous()
        and not torch.is_autocast_enabled("cpu")
    )
