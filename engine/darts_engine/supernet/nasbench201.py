"""The supernet of NAS-Bench-201: one cell type, every state feeds every later one.

Dong and Yang, NAS-Bench-201, 2020, arXiv 2001.00326, section 2. Shapes: B batch, C channels, H W
space, E edges, O operations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute.activation_checkpoint import recomputed
from darts_engine.layers import operations
from darts_engine.layers.operations import AVG_POOL, SKIP
from darts_engine.networks.nasbench201 import CELL, Stages
from darts_engine.run.architecture.derivation_one_cell import edges_of
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS
from darts_engine.supernet.edge import MixedEdge
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork
from darts_engine.supernet.source import SourceFeatures
from darts_engine.supernet.stochastic import StochasticOps


class SearchCell201(nn.Module):
    """A cell of mixed edges; what the edges out of one state share is computed once.

    Args:
        names: the candidates of every edge.
        nodes: of the cell, its input not counted.
        channels: C.
        stochastic: shared by all edges of the supernet.
        auxiliary_skip: every edge has a skip beside its candidates (DARTS-).
    """

    def __init__(
        self,
        names: Sequence[str],
        nodes: int,
        channels: int,
        stochastic: StochasticOps,
        *,
        auxiliary_skip: bool,
    ) -> None:
        super().__init__()
        self.ends = edges_of(nodes)
        self.nodes, self.names = nodes, tuple(names)
        # Unlike in a cell of DARTS, poolings have no batch norm.
        self.edges = nn.ModuleList(
            MixedEdge(names, channels, 1, stochastic, auxiliary_skip=auxiliary_skip)
            for _ in self.ends
        )

    def forward(
        self, x: Tensor, weights_EO: Tensor, active: Sequence[Sequence[int]] | None = None
    ) -> Tensor:
        """(B, C, H, W) to the same.

        Args:
            x: the cell's input.
            weights_EO: the weights of each edge's operations.
            active: of each edge, the columns that are computed; None computes all.
        """
        state, sources = x, list[SourceFeatures]()
        edge = 0
        for _ in range(self.nodes):
            sources.append(self._source(state))
            outputs: list[Tensor] = []
            for source in sources:
                columns = None if active is None else active[edge]
                outputs.append(self.edges[edge](source, weights_EO[edge], columns))
                edge += 1
            state = sum(outputs[1:], outputs[0])
        return state

    def _source(self, x: Tensor) -> SourceFeatures:
        shared = {SKIP: x}
        if AVG_POOL in self.names:
            shared[AVG_POOL] = operations.avg_pool(x, 1)
        return SourceFeatures(functional.relu(x), shared)


class Supernet201(RelaxedNetwork, Stages):
    """The relaxed network; all cells share its one (E, O) alpha matrix.

    Args:
        names: the candidate operations of every edge, in alpha's column order.
        nodes: of a cell, its input not counted.
        channels: C of the first stage.
        layers: cells in all.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the streams that weights and alphas are drawn from.
        alpha_scale: standard deviation of the first alphas.
        auxiliary_skip: every edge has a skip beside its candidates (DARTS-).

    Raises:
        KeyError: a candidate is unknown.
    """

    def __init__(
        self,
        names: Sequence[str] = NASBENCH201_OPERATIONS,
        *,
        nodes: int = 3,
        channels: int = 16,
        layers: int = 15,
        in_channels: int = 3,
        classes: int = 10,
        seed: int = 0,
        alpha_scale: float = 1e-3,
        auxiliary_skip: bool = False,
    ) -> None:
        super().__init__({CELL: (len(edges_of(nodes)), len(names))}, alpha_scale, seed)
        self.build(
            lambda width: SearchCell201(
                names, nodes, width, self.stochastic, auxiliary_skip=auxiliary_skip
            ),
            channels=channels,
            layers=layers,
            in_channels=in_channels,
            classes=classes,
            seed=seed,
        )

    def forward(self, x: Tensor, mixing: Mixing | Matrices | None = None) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes)."""
        mixing = Mixing.of(self.relax() if mixing is None else mixing)
        weights = mixing.weights[CELL]
        active = None if mixing.active is None else mixing.active[CELL]

        def run_cell(cell: nn.Module, state: Tensor) -> Tensor:
            if self.recomputes and torch.is_grad_enabled():
                return recomputed(cell, state, weights, active)
            out: Tensor = cell(state, weights, active)
            return out

        return self.logits(x, run_cell)
