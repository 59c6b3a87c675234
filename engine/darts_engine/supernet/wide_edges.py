"""The edges that leave one state, computed as one wide edge where channels are few.

A call of the library costs about as much for 4 channels as for 16, and a supernet makes thousands
of calls a step. Edges that leave one state take the same input, so an operation that E of them have
is one operation over E * C channels: a depthwise convolution with all kernels, a pointwise one
whose matrix has the edges' matrices as blocks, a norm over all channels, one weighted sum. The
products are the same. Where they are few, the first two, which all edges apply to the same input,
are composed: one dense convolution from C to E * C channels. What belongs to an edge stays with it:
its small weights are put side by side in each forward pass, and the statistics go back to its own
norms.

The modules here have no parameters and no names in a `state_dict`. Shapes: B batch, C channels,
H W space, E edges, O operations; edge e has the channels e * C to (e + 1) * C.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.layers.depthwise import DepthwiseConv, dense, depthwise
from darts_engine.layers.norm import BatchNorm, side_by_side
from darts_engine.layers.operations import (
    NOISE,
    NONE,
    DepthwiseSeparable,
    DilConv,
    FactorizedReduce,
    SepConv,
    WeightedOperation,
    factorized,
)
from darts_engine.supernet.weighted_sum import WideSummand, mixtures, repeated

# The library's grouped convolution is fast where a group's channels fill its vectors.
VECTOR = 8
# Of fewer images the library computes undilated groups one after another.
FEWEST_IMAGES = 16
# A depthwise and a pointwise convolution are composed up to so many products for a number of x:
# more cost as much as the call, the copy and the intermediate map that are saved.
FEW_PRODUCTS = 400
# A state of so many numbers is so little work that calls decide the time, however many channels.
FEW_NUMBERS = 2**16


class Depthwise(nn.Module):
    """The edges' depthwise convolutions."""

    def forward(self, x: Tensor, each: Sequence[DepthwiseConv]) -> Tensor:
        """(B, E * C, H, W) to (B, E * C, H', W')."""
        weight = torch.cat([conv.weight for conv in each])
        return depthwise(x, weight, each[0].stride[0], each[0].dilation[0])


class Pointwise(nn.Module):
    """The edges' 1x1 convolutions, each of its own channels."""

    def forward(self, x: Tensor, each: Sequence[nn.Conv2d]) -> Tensor:
        """(B, E * C, H, W) to the same."""
        weights = [conv.weight for conv in each]
        if len(weights) > 2 and weights[0].shape[0] % VECTOR == 0 and len(x) >= FEWEST_IMAGES:
            return functional.conv2d(x, torch.cat(weights), groups=len(weights))
        matrix = torch.block_diag(*(weight.flatten(1) for weight in weights))
        return functional.linear(x.permute(0, 2, 3, 1), matrix).permute(0, 3, 1, 2)


class Composed(nn.Module):
    """The edges' depthwise and then pointwise convolutions of one input, as one dense one."""

    def forward(self, x: Tensor, each: Sequence[DepthwiseSeparable]) -> Tensor:
        """(B, C, H, W) to (B, E * C, H', W')."""
        conv = each[0].depthwise
        kernels = torch.stack([one.depthwise.weight for one in each]).transpose(1, 2)
        matrices = torch.stack([one.pointwise.weight for one in each])
        return dense(x, (matrices * kernels).flatten(0, 1), conv.stride[0], conv.dilation[0])


class Norm(nn.Module):
    """The edges' batch norms."""

    def forward(self, x: Tensor, each: Sequence[BatchNorm]) -> Tensor:
        """(B, E * C, H, W) to the same."""
        return side_by_side(each, x)


class WideEdges(nn.Module):
    """The sums of all edges that leave a state and have the same candidates."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.pointwise, self.norm = Depthwise(), Pointwise(), Norm()
        self.composed = Composed()

    def forward(
        self,
        names: Sequence[str],
        edges: Sequence[Mapping[str, WeightedOperation]],
        rectified: Tensor,
        shared: Mapping[str, Tensor],
        weights_EO: Tensor,
    ) -> Sequence[Tensor]:
        """Each edge's output, (B, C, H', W').

        Args:
            names: the candidates, in the order of the weights' columns.
            edges: each edge's operations that have weights.
            rectified: relu of the state, (B, C, H, W).
            shared: outputs of the operations that all edges share.
            weights_EO: the weights of these edges.
        """
        summands = []
        for column, name in enumerate(names):
            if name in shared:
                summands.append(WideSummand(column, shared[name]))
            elif name != NONE:
                each = [edge[name] for edge in edges]
                values = self._before_norm(each, rectified)
                summands.append(WideSummand(column, values, [one.last_norm for one in each]))
        sums: Sequence[Tensor] = mixtures(weights_EO, summands).chunk(len(edges), 1)
        return sums

    def _before_norm(self, each: Sequence[WeightedOperation], rectified: Tensor) -> Tensor:
        sep = [one for one in each if isinstance(one, SepConv)]
        dil = [one for one in each if isinstance(one, DilConv)]
        if sep:
            first = self._of_state([one.first for one in sep], rectified)
            normalised = self.norm(first, [one.first.norm for one in sep])
            return self._separable([one.second for one in sep], functional.relu_(normalised))
        if dil:
            return self._of_state(dil, rectified)
        halves = [one for one in each if isinstance(one, FactorizedReduce)]
        # Here all edges see the very same channels, so the products are dense ones.
        straight = torch.cat([one.straight.weight for one in halves])
        shifted = torch.cat([one.shifted.weight for one in halves])
        parts = [half.chunk(len(halves), 1) for half in factorized(rectified, straight, shifted)]
        return torch.cat([part for pair in zip(*parts, strict=True) for part in pair], 1)

    def _of_state(self, each: Sequence[DepthwiseSeparable], rectified: Tensor) -> Tensor:
        conv = each[0].depthwise
        if len(each) * conv.weight.numel() > FEW_PRODUCTS * conv.stride[0] ** 2:
            return self._separable(each, repeated(rectified, len(each)))
        out: Tensor = self.composed(rectified, each)
        return out

    def _separable(self, each: Sequence[DepthwiseSeparable], x: Tensor) -> Tensor:
        deep = self.depthwise(x, [one.depthwise for one in each])
        out: Tensor = self.pointwise(deep, [one.pointwise for one in each])
        return out


def same_candidates(
    edges: Sequence[Mapping[str, WeightedOperation]], names: Sequence[Sequence[str]]
) -> bool:
    """Whether edges have the same candidates, some with weights, and all of kinds known here."""
    return (
        len(set(map(tuple, names))) == 1
        and NOISE not in names[0]
        and len(edges[0]) > 0
        and all(isinstance(one, SepConv | DilConv | FactorizedReduce) for one in edges[0].values())
    )


def should_fuse(
    edges: Sequence[Mapping[str, WeightedOperation]], x: Tensor, weights_EO: Tensor
) -> bool:
    """Whether edges that are `alike` are better computed as one wide edge, and can be.

    Args:
        edges: their operations that have weights.
        x: the operations' channels of the state, (B, C, H, W).
        weights_EO: of all edges.
    """
    # The norms of a supernet are all in one mode.
    norm = next(iter(edges[0].values())).last_norm
    return x.dtype == weights_EO.dtype and should_fuse_norms(norm, x)


def should_fuse_norms(norm: BatchNorm, x: Tensor) -> bool:
    """Whether norms like this one are better computed side by side, and can be.

    Args:
        norm: one of them.
        x: what one of them sees, or at twice the resolution, (B, C, H, W).
    """
    pixels = -(-x.shape[2] // 2) * -(-x.shape[3] // 2)
    return (
        x.device.type == "cpu"
        and (x.shape[1] <= VECTOR or x.numel() <= FEW_NUMBERS)
        and (not norm.training or (norm.together is None and len(x) * pixels > 1))
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )
