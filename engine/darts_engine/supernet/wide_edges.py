"""The edges out of one state, computed as one wide edge where channels are few.

A call of torch costs about as much for 4 channels as for 16, and a supernet makes thousands of
calls a step. Edges out of one state take the same input, so an operation that E of them have is one
operation over E * C channels: a depthwise convolution with all kernels, a pointwise convolution
whose matrix has those of the edges as blocks, a norm over all channels, one weighted sum. The
products are the same. Where they are few, the depthwise and the pointwise convolution are composed
into one dense convolution from C to E * C channels. Every edge keeps its parameters and its running
statistics: the weights are concatenated in each forward pass, and the statistics are written back.

The modules here have no parameters and no entries in a `state_dict`. Shapes: B batch, C channels,
H W space, E edges, O operations; edge e has the channels e * C to (e + 1) * C.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.layers.depthwise import DepthwiseConv, dense, depthwise
from darts_engine.layers.norm import BatchNorm, normalise_side_by_side
from darts_engine.layers.operations import (
    NOISE,
    NONE,
    DepthwiseSeparable,
    DilConv,
    FactorizedReduce,
    SepConv,
    WeightedOperation,
    factorize,
)
from darts_engine.supernet.weighted_sum import WideSummand, repeat_for_edges, wide_weighted_sum

# oneDNN's grouped convolution is fast where the channels of a group fill a vector.
VECTOR = 8
# With fewer images oneDNN computes the groups one after another.
FEWEST_IMAGES = 16
# A depthwise and a pointwise convolution are composed up to so many products per number of x.
# More cost as much as the call, the copy and the intermediate map that composing saves.
FEW_PRODUCTS = 400
# Up to so many numbers in a state the calls decide the time, whatever the number of channels.
FEW_NUMBERS = 2**16


class Depthwise(nn.Module):
    """The edges' depthwise convolutions."""

    def forward(self, x: Tensor, each: Sequence[DepthwiseConv]) -> Tensor:
        """(B, E * C, H, W) to (B, E * C, H', W')."""
        weight = torch.cat([conv.weight for conv in each])
        return depthwise(x, weight, each[0].stride[0], each[0].dilation[0])


class Pointwise(nn.Module):
    """The edges' 1x1 convolutions, each over its own channels."""

    def forward(self, x: Tensor, each: Sequence[nn.Conv2d]) -> Tensor:
        """(B, E * C, H, W) to the same."""
        weights = [conv.weight for conv in each]
        if len(weights) > 2 and weights[0].shape[0] % VECTOR == 0 and len(x) >= FEWEST_IMAGES:
            return functional.conv2d(x, torch.cat(weights), groups=len(weights))
        matrix = torch.block_diag(*(weight.flatten(1) for weight in weights))
        return functional.linear(x.permute(0, 2, 3, 1), matrix).permute(0, 3, 1, 2)


class Composed(nn.Module):
    """The edges' depthwise and pointwise convolutions of one input, composed into a dense one."""

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
        return normalise_side_by_side(each, x)


class WideEdges(nn.Module):
    """The weighted sums (eq. 2) of all edges out of a state; all have the same candidates."""

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
            names: the candidates, in the order of the columns of `weights_EO`.
            edges: of each edge, its operations that have weights, by name.
            rectified: relu of the state, (B, C, H, W).
            shared: outputs of the operations that all edges share, by name, (B, C, H', W').
            weights_EO: the weights of eq. 2 of these edges.
        """
        summands = []
        for column, name in enumerate(names):
            if name in shared:
                summands.append(WideSummand(column, shared[name]))
            elif name != NONE:
                each = [edge[name] for edge in edges]
                values = self._before_norm(each, rectified)
                summands.append(WideSummand(column, values, [one.last_norm for one in each]))
        sums: Sequence[Tensor] = wide_weighted_sum(weights_EO, summands).chunk(len(edges), 1)
        return sums

    def _before_norm(self, each: Sequence[WeightedOperation], rectified: Tensor) -> Tensor:
        sep = [one for one in each if isinstance(one, SepConv)]
        dil = [one for one in each if isinstance(one, DilConv)]
        if sep:
            first = self._separable_of_state([one.first for one in sep], rectified)
            normalised = self.norm(first, [one.first.norm for one in sep])
            return self._separable([one.second for one in sep], functional.relu_(normalised))
        if dil:
            return self._separable_of_state(dil, rectified)
        halves = [one for one in each if isinstance(one, FactorizedReduce)]
        # All edges take the same channels, so the matrices are concatenated, not blocks.
        straight = torch.cat([one.straight.weight for one in halves])
        shifted = torch.cat([one.shifted.weight for one in halves])
        parts = [half.chunk(len(halves), 1) for half in factorize(rectified, straight, shifted)]
        return torch.cat([part for pair in zip(*parts, strict=True) for part in pair], 1)

    def _separable_of_state(self, each: Sequence[DepthwiseSeparable], rectified: Tensor) -> Tensor:
        conv = each[0].depthwise
        if len(each) * conv.weight.numel() > FEW_PRODUCTS * conv.stride[0] ** 2:
            return self._separable(each, repeat_for_edges(rectified, len(each)))
        out: Tensor = self.composed(rectified, each)
        return out

    def _separable(self, each: Sequence[DepthwiseSeparable], x: Tensor) -> Tensor:
        deep = self.depthwise(x, [one.depthwise for one in each])
        out: Tensor = self.pointwise(deep, [one.pointwise for one in each])
        return out


def same_candidates(
    edges: Sequence[Mapping[str, WeightedOperation]], names: Sequence[Sequence[str]]
) -> bool:
    """Whether one pass can compute the edges: same candidates, at least one with weights.

    Args:
        edges: of each edge, its operations that have weights, by name.
        names: of each edge, its candidates.
    """
    return (
        len(set(map(tuple, names))) == 1
        and NOISE not in names[0]
        and len(edges[0]) > 0
        and all(isinstance(one, SepConv | DilConv | FactorizedReduce) for one in edges[0].values())
    )


def should_fuse(
    edges: Sequence[Mapping[str, WeightedOperation]], x: Tensor, weights_EO: Tensor
) -> bool:
    """Whether one pass is faster for edges with the same candidates, and has the same numbers.

    Args:
        edges: of each edge, its operations that have weights, by name.
        x: the channels of the state that the operations take, (B, C, H, W).
        weights_EO: the weights of eq. 2 of all edges of the cell.
    """
    # All norms of a supernet are in the same mode, so one stands for all.
    norm = next(iter(edges[0].values())).last_norm
    return x.dtype == weights_EO.dtype and should_fuse_norms(norm, x)


def should_fuse_norms(norm: BatchNorm, x: Tensor) -> bool:
    """Whether several norms are faster computed side by side, with the same numbers.

    Args:
        norm: one of them; the others are like it.
        x: the input of one of them, (B, C, H, W), or the same at twice the resolution.
    """
    pixels = -(-x.shape[2] // 2) * -(-x.shape[3] // 2)
    return (
        x.device.type == "cpu"
        and (x.shape[1] <= VECTOR or x.numel() <= FEW_NUMBERS)
        and (not norm.training or (norm.across_ranks is None and len(x) * pixels > 1))
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )
