"""A mixed edge: the weighted sum of its candidates, and what all edges of one state share.

Liu et al., DARTS, 2019, arXiv 1806.09055, equation 2. Shapes: B batch, C channels, H W space,
O operations.

What depends only on an edge's source state and stride is computed once per source, not once per
edge: the ReLU in front of the convolutions, both poolings with their batch norm, and the stride-1
skip. The sums are the same; a normal cell has 5 sources and 14 edges. `none` adds nothing and is
not computed; its alpha still takes part in the softmax.
"""

from collections.abc import Sequence
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
    FactorizedReduce,
    WeightedOperation,
)
from darts_engine.layers.slices import channels_apart, every_other
from darts_engine.supernet.stochastic import StochasticOps
from darts_engine.supernet.weighted_sum import Summand, weighted_sum
from darts_engine.supernet.wide_edges import Norm, together

WEIGHTLESS = {NONE, NOISE, MAX_POOL, AVG_POOL}


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
