"""The supernet: every candidate operation on every edge, mixed by weights that alpha decides.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.2 and 3.1.1. Shapes: B batch, C channels,
H W space, E edges, O operations.

What depends only on an edge's source state and stride is computed once per source, not once per
edge: the ReLU in front of the convolutions, both poolings with their batch norm, and the stride-1
skip. The sums are the same; a normal cell has 5 sources and 14 edges. `none` adds nothing and is
not computed; its alpha still takes part in the softmax.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine import operations, streams
from darts_engine.mixture import Summand, mixture
from darts_engine.norm import BatchNorm
from darts_engine.operations import (
    AVG_POOL,
    MAX_POOL,
    NONE,
    SKIP,
    ConvNorm,
    FactorizedReduce,
    WeightedOperation,
)
from darts_engine.recompute import recomputed

STEM_MULTIPLIER = 3
CELLS = ("normal", "reduce")


class Alphas(nn.Module):
    """The architecture parameters, apart from the network's weights: one (E, O) matrix per cell."""

    def __init__(self, edges: int, num_operations: int, scale: float, seed: int) -> None:
        super().__init__()
        for cell in CELLS:
            noise = torch.randn(
                edges, num_operations, generator=streams.generator(seed, f"alpha {cell}")
            )
            self.register_parameter(cell, nn.Parameter(scale * noise))

    def matrices(self) -> dict[str, Tensor]:
        """The raw alphas by cell name."""
        return dict(self.named_parameters())

    def mixing(self) -> dict[str, Tensor]:
        """softmax(alpha) over the operations, in float32 or better: eq. 2 of the paper."""
        return {name: functional.softmax(alpha, dim=-1) for name, alpha in self.named_parameters()}


class Source(nn.Module):
    """One state as its outgoing edges see it: what they can share, at one stride."""

    def __init__(self, channels: int, stride: int, names: set[str]) -> None:
        super().__init__()
        self.stride = stride
        self.max_norm = BatchNorm(channels, affine=False) if MAX_POOL in names else None
        self.avg_norm = BatchNorm(channels, affine=False) if AVG_POOL in names else None

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """From (B, C, H, W) to relu(x) and the outputs of the weightless operations by name."""
        shared: dict[str, Tensor] = {}
        if self.max_norm is not None:
            shared[MAX_POOL] = self.max_norm(operations.max_pool(x, self.stride))
        if self.avg_norm is not None:
            shared[AVG_POOL] = self.avg_norm(operations.avg_pool(x, self.stride))
        if self.stride == 1:
            shared[SKIP] = x
        return functional.relu(x), shared


class MixedEdge(nn.Module):
    """One edge: the weighted sum of its candidate operations (eq. 2)."""

    def __init__(self, names: Sequence[str], channels: int, stride: int) -> None:
        super().__init__()
        self.names = tuple(names)
        weightless = {NONE, MAX_POOL, AVG_POOL} | ({SKIP} if stride == 1 else set())
        self.weighted = nn.ModuleDict(
            {
                name: operations.weighted_operation(name, channels, stride, affine=False)
                for name in names
                if name not in weightless
            }
        )

    def forward(self, rectified: Tensor, shared: dict[str, Tensor], weights_O: Tensor) -> Tensor:
        """The edge's output, (B, C, H', W')."""
        summands = []
        for column, name in enumerate(self.names):
            if name in shared:
                summands.append(Summand(column, shared[name]))
            elif name != NONE:
                operation = self.weighted[name]
                assert isinstance(operation, WeightedOperation)
                values = operation.before_norm(rectified)
                summands.append(Summand(column, values, operation.last_norm))
        return mixture(weights_O, summands)


class SearchCell(nn.Module):
    """A cell whose node i sums mixed edges from states 0 .. i + 1 and that concatenates its nodes.

    In a reduction cell the edges from the two inputs have stride 2.
    """

    def __init__(
        self,
        names: Sequence[str],
        nodes: int,
        channels_before: tuple[int, int],
        channels: int,
        *,
        is_reduction: bool,
        follows_reduction: bool,
    ) -> None:
        super().__init__()
        self.nodes = nodes
        earlier = FactorizedReduce if follows_reduction else ConvNorm
        self.preprocess0 = earlier(channels_before[0], channels, affine=False)
        self.preprocess1 = ConvNorm(channels_before[1], channels, affine=False)

        def stride(state: int) -> int:
            return 2 if is_reduction and state < 2 else 1

        self.sources = nn.ModuleList(
            Source(channels, stride(state), set(names)) for state in range(nodes + 1)
        )
        self.edges = nn.ModuleList(
            MixedEdge(names, channels, stride(state))
            for node in range(nodes)
            for state in range(node + 2)
        )

    def forward(self, x0: Tensor, x1: Tensor, weights_EO: Tensor) -> Tensor:
        """Outputs of the two cells before, to (B, nodes * C, H', W')."""
        states = [
            self.preprocess0(functional.relu(x0)),
            self.preprocess1(functional.relu(x1)),
        ]
        seen = [source(state) for source, state in zip(self.sources, states, strict=False)]
        edge = 0
        for node in range(self.nodes):
            outputs: list[Tensor] = []
            for rectified, shared in seen:
                outputs.append(self.edges[edge](rectified, shared, weights_EO[edge]))
                edge += 1
            states.append(sum(outputs[1:], outputs[0]))
            if node + 1 < self.nodes:
                seen.append(self.sources[node + 2](states[-1]))
        return torch.cat(states[2:], 1)


class Supernet(nn.Module):
    """Stem, cells, pooling, classifier, and the alphas that mix the cells' operations.

    Args:
        names: the candidate operations of every edge, in alpha's column order.
        nodes: intermediate nodes per cell.
        channels: C of the first cell; doubled by each reduction cell.
        layers: cells; those at layers // 3 and 2 * layers // 3 reduce.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the streams that weights and alphas are drawn from.
        alpha_scale: standard deviation of the first alphas.

    Attributes:
        recomputes: keep only the cells' outputs for the backward pass, and compute the rest again.
    """

    recomputes = False

    def __init__(
        self,
        names: Sequence[str] = operations.PRIMITIVES,
        *,
        nodes: int = 4,
        channels: int = 16,
        layers: int = 8,
        in_channels: int = 3,
        classes: int = 10,
        seed: int = 0,
        alpha_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        num_edges = sum(range(2, nodes + 2))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.seed_of(seed, "weights"))
            stem_channels = STEM_MULTIPLIER * channels
            self.stem = nn.Sequential(
                nn.Conv2d(in_channels, stem_channels, 3, 1, 1, bias=False),
                BatchNorm(stem_channels),
            )
            self.cells = nn.ModuleList()
            self.reductions = {layers // 3, 2 * layers // 3}
            before = (stem_channels, stem_channels)
            for layer in range(layers):
                if layer in self.reductions:
                    channels *= 2
                cell = SearchCell(
                    names,
                    nodes,
                    before,
                    channels,
                    is_reduction=layer in self.reductions,
                    follows_reduction=layer - 1 in self.reductions,
                )
                self.cells.append(cell)
                before = (before[1], nodes * channels)
            self.classifier = nn.Linear(before[1], classes)
        self.alphas = Alphas(num_edges, len(names), alpha_scale, seed)

    def forward(self, x: Tensor, mixing: dict[str, Tensor] | None = None) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes).

        `mixing` gives each cell type's (E, O) weights; by default softmax(alpha).
        """
        if mixing is None:
            mixing = self.alphas.mixing()
        x0 = x1 = self.stem(x)
        for layer, cell in enumerate(self.cells):
            weights = mixing["reduce" if layer in self.reductions else "normal"]
            if self.recomputes and torch.is_grad_enabled():
                x0, x1 = x1, recomputed(cell, x0, x1, weights)
            else:
                x0, x1 = x1, cell(x0, x1, weights)
        pooled = functional.adaptive_avg_pool2d(x1, 1).flatten(1)
        logits: Tensor = self.classifier(pooled)
        return logits

    def weights(self) -> Iterator[nn.Parameter]:
        """Every parameter that is not an alpha."""
        for name, parameter in self.named_parameters():
            if not name.startswith("alphas."):
                yield parameter

    def load_reference_state(
        self,
        state_dict: Mapping[str, Tensor],
        alphas: Mapping[str, Tensor] | Sequence[Tensor] | None = None,
    ) -> None:
        """Take over the weights of an existing search, in the official code's layout.

        `alphas` are raw (E, O) matrices: by cell name, or normal before reduce; None leaves ours.

        Raises:
            CheckpointError: something is missing, unknown or of another shape; nothing changed.
        """
        from darts_engine import reference_state

        reference_state.load(self, state_dict, alphas)

    def reference_state(self) -> dict[str, Tensor]:
        """The weights and running statistics in the official code's layout; no alphas."""
        from darts_engine import reference_state

        return reference_state.export(self)
