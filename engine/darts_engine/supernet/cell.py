"""A cell of the supernet: nodes that sum mixed edges from all states before them.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.1; `PlainCell` of `plain.py` is its definition,
and `SearchCell.forward` reads like it. Each fast path, and each addition of a later paper, is one
call:

    `_source`         what the edges out of a state share (`source.py`), and their sums where one
                      pass computes all of them (`wide_edges.py`)
    `_output`         one edge, only its active candidates where a method asks for a subset
    `_join_bypass`    the channels that bypass the operations (`partial_channels.py`)

Drop path, skip dropout and noise are in `stochastic.py`. Shapes: B batch, C channels, H W space,
E edges, O operations; H' and W' are H and W divided by the cell's stride, rounded up.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from darts_engine.layers import operations
from darts_engine.layers.operations import ConvNorm, FactorizedReduce, WeightedOperation
from darts_engine.supernet import partial_channels
from darts_engine.supernet.edge import MixedEdge
from darts_engine.supernet.source import Source, SourceFeatures
from darts_engine.supernet.stochastic import StochasticOps
from darts_engine.supernet.wide_edges import WideEdges, same_candidates, should_fuse

# Candidates in alpha's column order: the same for all edges, or each cell's, edge by edge.
Names = Sequence[str] | Mapping[str, Sequence[Sequence[str]]]
# Of each edge of a cell, the columns that are computed; None computes all.
Active = Sequence[Sequence[int]] | None


@dataclass(frozen=True)
class Design:
    """What makes up the cells.

    Attributes:
        names: the candidate operations, which S1 to S4 and P-DARTS give each edge of its own; all
            edges of a cell have equally many.
        nodes: intermediate nodes per cell.
        partial: K; the operations take C / K channels of a state, the others bypass them (PC-DARTS,
            Xu et al., 2020, arXiv 1907.05737). C / K must be even.
        auxiliary_skip: every edge has a skip beside its candidates, whose factor falls
            from 1 towards 0 (DARTS-, Chu et al., 2021, arXiv 2009.01027).
    """

    names: Names = operations.PRIMITIVES
    nodes: int = 4
    partial: int = 1
    auxiliary_skip: bool = False

    @property
    def edges(self) -> int:
        """Edges of a cell: 2 into the first node, and one more into each next node."""
        return sum(range(2, self.nodes + 2))

    def candidates(self, cell: str) -> list[tuple[str, ...]]:
        """The candidates of a cell type ("normal" or "reduce"), edge by edge."""
        if isinstance(self.names, Mapping):
            return [tuple(names) for names in self.names[cell]]
        return [tuple(self.names)] * self.edges


class SearchCell(nn.Module):
    """Two input states, then nodes; node i sums the edges from states 0 to i + 1.

    The edges are ordered by node, then by source state. In a reduction cell the edges from the two
    inputs have stride 2.

    Args:
        design: candidates, nodes, partial channels, auxiliary skip.
        channels_before: channels of the two cells before, the older one first.
        channels: C of the nodes.
        stochastic: shared by all edges of the supernet.
        is_reduction: whether the cell halves the resolution.
        follows_reduction: whether the cell before it did.
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
        self.names = names = design.candidates("reduce" if is_reduction else "normal")
        ends = [(state, node) for node in range(self.nodes) for state in range(node + 2)]
        # The edges out of each state, and those into each node.
        self.leaving = [
            [edge for edge, (state, _) in enumerate(ends) if state == source]
            for source in range(self.nodes + 1)
        ]
        self.entering = [
            [edge for edge, (_, end) in enumerate(ends) if end == node]
            for node in range(self.nodes)
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
        self._edge_list = [edge for edge in self.edges if isinstance(edge, MixedEdge)]
        self.stochastic = stochastic
        self.wide = WideEdges()
        # The weighted operations of each state's edges; None where one pass cannot compute them.
        self.fusable = [self._same_candidates_from(leaving) for leaving in self.leaving]

    def forward(
        self,
        x0: Tensor,
        x1: Tensor,
        weights_EO: Tensor,
        shares_E: Tensor | None = None,
        active: Active = None,
    ) -> Tensor:
        """To (B, nodes * C, H', W'). The inputs are the rectified outputs of the two cells before.

        Args:
            x0: of the older cell, (B, C0, H0, W0).
            x1: of the newer cell, (B, C1, H, W).
            weights_EO: the weights of eq. 2.
            shares_E: factors of whole edges (PC-DARTS, eq. 4); None is 1 for each.
            active: the candidates that are computed.
        """
        if shares_E is not None:
            weights_EO = weights_EO * shares_E[:, None]
        states = [self.preprocess0(x0), self.preprocess1(x1)]
        sources: list[SourceFeatures] = []
        for edges in self.entering:
            sources += [
                self._source(state, states[state], weights_EO, active)
                for state in range(len(sources), len(states))
            ]
            # Eq. 1: x_j = sum over i < j of o_ij(x_i)
            first, *others = [
                self._output(edge, source, weights_EO, active)
                for edge, source in zip(edges, sources, strict=True)
            ]
            states.append(self._join_bypass(sum(others, first), sources, edges, shares_E))
        return torch.cat(states[2:], 1)

    def norm_each_edge(self, state: int, pooling: str) -> None:
        """From now on each edge out of a state has its own norm after a pooling (`plain.py`).

        The norms begin as copies of the one that the edges have shared.
        """
        source = self.sources[state]
        assert isinstance(source, Source)
        shared = source.take_norm(pooling)
        for edge in self.leaving[state]:
            if pooling in self.names[edge]:
                self._edge_list[edge].pool_norms[pooling] = copy.deepcopy(shared)
        self.fusable[state] = None

    def _source(self, state: int, x: Tensor, weights_EO: Tensor, active: Active) -> SourceFeatures:
        """What the edges out of a state share; of the poolings only those that are active."""
        leaving = self.leaving[state]
        needed: set[str] | None = None
        if active is not None:
            # DEVIATION: in the official code the norm of a pooling rests on the edges that do not
            # compute it. A norm that the edges share takes in the batch if any of them does. Only
            # running statistics differ, and with them evaluation, not training.
            needed = {self.names[edge][column] for edge in leaving for column in active[edge]}
        source: SourceFeatures = self.sources[state](x, needed)
        if active is None:
            source.fused = self._fused(state, source, weights_EO)
        return source

    def _output(
        self, edge: int, source: SourceFeatures, weights_EO: Tensor, active: Active
    ) -> Tensor:
        """An edge's output, (B, C / K, H', W')."""
        mixed = self._edge_list[edge]
        if edge in source.fused:
            return mixed.finish(source.fused.pop(edge), source)
        out: Tensor = mixed(source, weights_EO[edge], None if active is None else active[edge])
        return out

    def _join_bypass(
        self,
        node: Tensor,
        sources: Sequence[SourceFeatures],
        edges: Sequence[int],
        shares_E: Tensor | None,
    ) -> Tensor:
        """A node with the channels that bypassed its edges, (B, C, H', W')."""
        bypasses = [source.bypass for source in sources if source.bypass is not None]
        if not bypasses:
            return node
        shares = [] if shares_E is None else [shares_E[edge] for edge in edges]
        return partial_channels.join(node, bypasses, shares, self.partial)

    def _fused(self, state: int, source: SourceFeatures, weights_EO: Tensor) -> dict[int, Tensor]:
        """The weighted sums of all edges out of a state, by edge; empty where each has its own."""
        each = self.fusable[state]
        drops_skips = self.training and self.stochastic.skip_dropout
        if each is None or drops_skips or not should_fuse(each, source.rectified, weights_EO):
            return {}
        leaving = self.leaving[state]
        names = self.names[leaving[0]]
        sums = self.wide(names, each, source.rectified, source.shared, weights_EO[leaving])
        return dict(zip(leaving, sums, strict=True))

    def _same_candidates_from(
        self, leaving: Sequence[int]
    ) -> list[dict[str, WeightedOperation]] | None:
        each = [self._edge_list[edge].operations() for edge in leaving]
        return each if same_candidates(each, [self.names[edge] for edge in leaving]) else None
