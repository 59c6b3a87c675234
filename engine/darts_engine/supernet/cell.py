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

from darts_engine.layers import operations
from darts_engine.layers.operations import (
    ConvNorm,
    FactorizedReduce,
    WeightedOperation,
)
from darts_engine.supernet.edge import MixedEdge, Source, SourceFeatures
from darts_engine.supernet.partial_channels import shuffled
from darts_engine.supernet.stochastic import StochasticOps
from darts_engine.supernet.wide_edges import WideEdges, same_candidates, should_fuse

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
