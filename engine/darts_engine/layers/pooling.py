"""3x3 pooling of stride 1 and padding 1 over large maps of few channels, on the CPU.

torch's loops run over the channels of a pixel. With partial channels those are too few to fill a
vector. So the maximum lays all images side by side in the channels, and the mean is a depthwise
convolution by ones, divided by the number of pixels that it sums. The maxima and their gradients
are the same, ties included; a mean sums in another order. Shapes: x (B, C, H, W), in channels-last
memory.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# So many channels fill a vector.
VECTOR = 8
# On maps with fewer numbers the calls cost more than the loops.
FEWEST_NUMBERS = 2**15


def is_faster(x: Tensor) -> bool:
    """Whether this file pools x (B, C, H, W) faster than torch does."""
    return (
        x.shape[1] < VECTOR
        and x.numel() >= FEWEST_NUMBERS
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and x.is_contiguous(memory_format=torch.channels_last)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def maximum(x: Tensor) -> Tensor:
    """The 3x3 maximum, (B, C, H, W) to the same."""
    out: Tensor = _Maximum.apply(x)
    return out


def mean(x: Tensor) -> Tensor:
    """The 3x3 mean, (B, C, H, W) to the same; the padding does not count."""
    out: Tensor = _Mean.apply(x, _shares(*x.shape[2:], x.dtype))
    return out


class _Maximum(torch.autograd.Function):
    """torch's maximum, over all images at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        wide = x.permute(2, 3, 0, 1).reshape(1, height, width, -1).permute(0, 3, 1, 2)
        results = torch.ops.aten.max_pool2d_with_indices(wide, [3, 3], [1, 1], [1, 1])
        out, indices = (
            t.permute(2, 3, 0, 1)
            .view(height, width, batch, channels)
            .permute(2, 3, 0, 1)
            .contiguous(memory_format=torch.channels_last)
            for t in results
        )
        ctx.save_for_backward(x, indices)
        maxima: Tensor = out
        return maxima

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        x, indices = ctx.saved_tensors
        grad_x: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            grads[0], x, [3, 3], [1, 1], [1, 1], [1, 1], False, indices
        )
        return grad_x


class _Mean(torch.autograd.Function):
    """The mean; its transpose, the backward pass, divides first and then sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shares: Tensor) -> Tensor:
        ctx.save_for_backward(shares)
        return _sums(x).mul_(shares)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (shares,) = ctx.saved_tensors
        return _sums(grads[0] * shares), None


def _sums(x: Tensor) -> Tensor:
    """The sum of each pixel and its neighbours, (B, C, H, W)."""
    channels = x.shape[1]
    return functional.conv2d(x, x.new_ones(channels, 1, 3, 3), None, 1, 1, 1, channels)


@functools.cache
def _shares(height: int, width: int, dtype: torch.dtype) -> Tensor:
    """1 / the number of pixels of the image under each window, (H, W)."""
    rows, columns = (
        torch.tensor([min(i + 2, side) - max(i - 1, 0) for i in range(side)], dtype=dtype)
        for side in (height, width)
    )
    return 1 / (rows[:, None] * columns)
