"""What all edges out of one state share, computed once per state instead of once per edge.

That is what depends only on the state and the stride: the ReLU in front of the convolutions, both
poolings with their batch norm, and the skip of stride 1. A normal cell of 4 nodes has 5 sources and
14 edges. The numbers are those of `plain.py`. A source whose edges have different statistics of a
pooling shares that pooling without its norm (`SearchCell.norm_each_edge`). Shapes: B batch,
C channels, H W space; H' and W' are H and W divided by the stride, rounded up.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.layers import operations
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.operations import AVG_POOL, MAX_POOL, SKIP
from darts_engine.supernet import partial_channels
from darts_engine.supernet.wide_edges import Norm, should_fuse_norms

# The attribute of `Source` with the norm of each pooling.
POOL_NORMS = {MAX_POOL: "max_norm", AVG_POOL: "avg_norm"}


@dataclass
class SourceFeatures:
    """A state as its outgoing edges take it.

    Attributes:
        rectified: relu of the channels that the operations take, (B, C / K, H, W).
        shared: outputs of the operations without weights by name, (B, C / K, H', W'); a pooling is
            not normalised yet where each edge has its own norm.
        bypass: the channels that bypass the operations, (B, C - C / K, H', W'); None where K is 1.
        fused: weighted sums by edge, (B, C / K, H', W'), where one pass computed those of all
            outgoing edges; otherwise empty.
    """

    rectified: Tensor
    shared: dict[str, Tensor]
    bypass: Tensor | None = None
    fused: dict[int, Tensor] = field(default_factory=dict)


class Source(nn.Module):
    """Computes what the outgoing edges of a state share.

    Args:
        channels: C of the state.
        stride: of the edges.
        names: the candidates of any of the edges.
        partial: K; the operations take C / K channels.
    """

    def __init__(self, channels: int, stride: int, names: set[str], partial: int) -> None:
        super().__init__()
        self.stride = stride
        self.channels = channels // partial
        self.poolings = names & POOL_NORMS.keys()
        self.max_norm = BatchNorm(self.channels, affine=False) if MAX_POOL in names else None
        self.avg_norm = BatchNorm(self.channels, affine=False) if AVG_POOL in names else None
        self.norms = Norm()

    def forward(self, x: Tensor, needed: set[str] | None = None) -> SourceFeatures:
        """The features of a state (B, C, H, W); of the poolings only those `needed`, or all."""
        x, bypass = partial_channels.split(x, self.channels, self.stride)
        shared = self._pooled(x, needed)
        if self.stride == 1:
            shared[SKIP] = x
        return SourceFeatures(functional.relu(x), shared, bypass)

    def take_norm(self, pooling: str) -> BatchNorm:
        """The norm that the edges share; from now on they get the pooling as it is."""
        norm: BatchNorm = getattr(self, POOL_NORMS[pooling])
        setattr(self, POOL_NORMS[pooling], None)
        return norm

    def _pooled(self, x: Tensor, needed: set[str] | None) -> dict[str, Tensor]:
        norms, pooled = {}, {}
        for name, norm, pool in (
            (MAX_POOL, self.max_norm, operations.max_pool),
            (AVG_POOL, self.avg_norm, operations.avg_pool),
        ):
            if name in self.poolings and (needed is None or name in needed):
                pooled[name] = pool(x, self.stride)
                if norm is not None:
                    norms[name] = norm
        if len(norms) > 1 and should_fuse_norms(norms[MAX_POOL], x):
            both = self.norms(torch.cat(list(pooled.values()), 1), list(norms.values()))
            return dict(zip(pooled, both.chunk(2, 1), strict=True))
        return pooled | {name: norm(pooled[name]) for name, norm in norms.items()}
