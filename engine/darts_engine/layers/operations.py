"""The candidate operations, in the order and with the padding and batch norm of the papers.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.1.1 and its official code. Convolutions have no
bias.

Operations that begin with a ReLU take a rectified state instead (`takes_rectified`): in a supernet
many edges share the state, so it is rectified once. `derived_operation` puts the ReLU back.

Constructors take the channels C (or those of input and output), the odd side k of the kernel, the
stride (1 or 2), the dilation (1 or 2), and `affine`: whether the batch norms have parameters.
Shapes: B batch, C channels, H W space.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.layers import pooling
from darts_engine.layers.depthwise import DepthwiseConv
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.slices import every_other

NONE = "none"
MAX_POOL = "max_pool_3x3"
AVG_POOL = "avg_pool_3x3"
SKIP = "skip_connect"
NOISE = "noise"

PRIMITIVES = (
    NONE,
    MAX_POOL,
    AVG_POOL,
    SKIP,
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


def max_pool(x: Tensor, stride: int) -> Tensor:
    """3x3 maximum with padding 1, (B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
    if stride == 1 and pooling.is_faster(x):
        return pooling.maximum(x)
    return functional.max_pool2d(x, 3, stride, 1)


def avg_pool(x: Tensor, stride: int) -> Tensor:
    """3x3 mean with padding 1, which does not count; shapes as in `max_pool`."""
    if stride == 1 and pooling.is_faster(x):
        return pooling.mean(x)
    return functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)


class Pool(nn.Module):
    """One of the two poolings as a module of derived cells, which have no batch norm there."""

    def __init__(self, pool: Callable[[Tensor, int], Tensor], stride: int) -> None:
        super().__init__()
        self.pool, self.stride = pool, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
        return self.pool(x, self.stride)


class WeightedOperation(nn.Module):
    """An operation with weights, whose last batch norm a mixed edge may fuse into its sum.

    Attributes:
        norm: the batch norm.
        takes_rectified: whether the input is relu(x).
    """

    norm: BatchNorm

    def before_norm(self, x: Tensor) -> Tensor:
        """The operation without its last batch norm; takes relu(x) if `takes_rectified`."""
        raise NotImplementedError

    @property
    def last_norm(self) -> BatchNorm:
        """The batch norm that ends the operation."""
        return self.norm

    def forward(self, x: Tensor) -> Tensor:
        """The whole operation; takes what `before_norm` takes."""
        out: Tensor = self.last_norm(self.before_norm(x))
        return out


class DepthwiseSeparable(WeightedOperation):
    """Depthwise k x k, pointwise 1 x 1, batch norm."""

    def __init__(
        self, channels: int, kernel: int, stride: int, dilation: int, affine: bool
    ) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(channels, kernel, stride, dilation)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = BatchNorm(channels, affine=affine)

    def before_norm(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


class SepConv(WeightedOperation):
    """`sep_conv_kxk`: two depthwise separable convolutions; the stride is in the first."""

    takes_rectified = True

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.first = DepthwiseSeparable(channels, kernel, stride, 1, affine)
        self.second = DepthwiseSeparable(channels, kernel, 1, 1, affine)

    def before_norm(self, rectified: Tensor) -> Tensor:
        """From relu(x) to (B, C, ceil(H / stride), ceil(W / stride))."""
        return self.second.before_norm(functional.relu_(self.first(rectified)))

    @property
    def last_norm(self) -> BatchNorm:
        """The norm of the second convolution."""
        return self.second.norm


class DilConv(DepthwiseSeparable):
    """`dil_conv_kxk`: one depthwise separable convolution with dilation 2."""

    takes_rectified = True

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool) -> None:
        super().__init__(channels, kernel, stride, 2, affine)


class NormalConv(WeightedOperation):
    """`nor_conv_kxk` of NAS-Bench-201: a plain convolution and batch norm.

    As in its code (Dong and Yang, 2020, arXiv 2001.00326), a convolution has a bias where its norm
    has no parameters, although the norm subtracts it again.
    """

    takes_rectified = True

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, affine: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, bias=not affine
        )
        self.norm = BatchNorm(channels_out, affine=affine)

    def before_norm(self, rectified: Tensor) -> Tensor:
        """From relu(x), (B, Cin, H, W), to (B, Cout, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.conv(rectified)
        return out


class Conv7x1(WeightedOperation):
    """`conv_7x1_1x7` of the NASNet and AmoebaNet cells."""

    takes_rectified = True

    def __init__(self, channels: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False)
        self.tall = nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False)
        self.norm = BatchNorm(channels, affine=affine)

    def before_norm(self, rectified: Tensor) -> Tensor:
        """From relu(x) to (B, C, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.tall(self.wide(rectified))
        return out


def halve(x: Tensor, weight: Tensor, first: int) -> Tensor:
    """A 1x1 convolution of every other pixel, starting at (first, first).

    It selects the pixels instead of using a stride. With a stride, oneDNN's backward pass is slow,
    and on a channels-last map of at least 56x56 with fewer than 16 input channels it writes past
    its memory and the process dies.

    Args:
        x: (B, Cin, H, W).
        weight: (Cout, Cin, 1, 1).
        first: 0 or 1.

    Returns:
        (B, Cout, ceil(H / 2), ceil(W / 2)).
    """
    pixels = every_other(x, 2, first)
    height, width = x.shape[2:]
    if first and (height % 2 or width % 2):
        # DEVIATION: the official code cannot take odd sizes. A row or column of zeros
        # completes the shifted half, as the padding of every other stride-2 operation does.
        pixels = functional.pad(pixels, (0, width % 2, 0, height % 2))
    return functional.conv2d(pixels, weight)


def factorize(rectified: Tensor, straight: Tensor, shifted: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of a factorized reduction's channels.

    Args:
        rectified: relu(x), (B, Cin, H, W).
        straight: weights of the convolution that starts at pixel (0, 0), (Cout / 2, Cin, 1, 1).
        shifted: weights of the one that starts at pixel (1, 1), of the same shape.

    Returns:
        Each (B, Cout / 2, ceil(H / 2), ceil(W / 2)).
    """
    return halve(rectified, straight, 0), halve(rectified, shifted, 1)


class Halving(nn.Conv2d):
    """A 1x1 convolution of stride 2 that starts at pixel (first, first)."""

    def __init__(self, channels_in: int, channels_out: int, first: int) -> None:
        super().__init__(channels_in, channels_out, 1, 2, bias=False)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) to (B, Cout, ceil(H / 2), ceil(W / 2))."""
        return halve(x, self.weight, self.first)


class FactorizedReduce(WeightedOperation):
    """Halve the resolution by two 1x1 convolutions of stride 2, one shifted by a pixel.

    Raises:
        ValueError: `channels_out` is odd.
    """

    takes_rectified = True

    def __init__(self, channels_in: int, channels_out: int, affine: bool) -> None:
        super().__init__()
        if channels_out % 2:
            raise ValueError(f"a factorized reduction needs an even width, not {channels_out}")
        half = channels_out // 2
        self.straight = Halving(channels_in, half, 0)
        self.shifted = Halving(channels_in, half, 1)
        self.norm = BatchNorm(channels_out, affine=affine)

    def before_norm(self, rectified: Tensor) -> Tensor:
        """From relu(x), (B, Cin, H, W), to (B, Cout, ceil(H / 2), ceil(W / 2))."""
        return torch.cat([self.straight(rectified), self.shifted(rectified)], 1)


class ConvNorm(WeightedOperation):
    """1x1 convolution and batch norm; cells use it to bring their inputs to their own width."""

    takes_rectified = True

    def __init__(self, channels_in: int, channels_out: int, affine: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.norm = BatchNorm(channels_out, affine=affine)

    def before_norm(self, rectified: Tensor) -> Tensor:
        """From relu(x), (B, Cin, H, W), to (B, Cout, H, W)."""
        out: Tensor = self.conv(rectified)
        return out


class Zero(nn.Module):
    """`none` in a derived cell: zeros of the right size."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to zeros of (B, C, ceil(H / stride), ceil(W / stride))."""
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


def weighted_operation(name: str, channels: int, stride: int, affine: bool) -> WeightedOperation:
    """An operation that has weights; it takes a rectified state.

    Args:
        name: as in `PRIMITIVES`, or one of the other spaces.
        channels: C of input and output.
        stride: 1 or 2.
        affine: whether its batch norms have parameters.

    Raises:
        KeyError: the operation is unknown or has no weights.
    """
    if name == SKIP:
        return FactorizedReduce(channels, channels, affine)
    if name == "conv_7x1_1x7":
        return Conv7x1(channels, stride, affine)
    kind, _, size = name.rpartition("_")
    kernel = {"1x1": 1, "3x3": 3, "5x5": 5, "7x7": 7}[size]
    if kind == "nor_conv":
        return NormalConv(channels, channels, kernel, stride, affine)
    return {"sep_conv": SepConv, "dil_conv": DilConv}[kind](channels, kernel, stride, affine)


def derived_operation(name: str, channels: int, stride: int) -> nn.Module:
    """An operation of a derived cell, its ReLU included; a skip of stride 1 is `nn.Identity`.

    It maps (B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride)).

    Raises:
        KeyError: the operation is unknown.
    """
    if name == NONE:
        return Zero(stride)
    if name in (MAX_POOL, AVG_POOL):
        return Pool(max_pool if name == MAX_POOL else avg_pool, stride)
    if name == SKIP and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.ReLU(), weighted_operation(name, channels, stride, affine=True))
