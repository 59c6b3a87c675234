"""Depthwise convolution with a fast backward pass on the CPU.

oneDNN's backward pass takes many times as long as its forward pass when the kernel is dilated or
wider than 3. So:

- A kernel with dilation 2 reads the four parities of its input separately: its gradient is that of
  an undilated kernel over the four sub-images. With stride 2 it reads only one of them.
- Taps that only ever meet padding are left out: a 5x5 kernel with dilation 2 has 24 of them on a
  2x2 map.
- The gradient of a wide kernel is computed three columns at a time: 5x3 twice takes a quarter of
  the time of 5x5 once.
- The gradient of a kernel on a map of at most 2x2 pixels is computed by pairs of pixels: on so
  small a map oneDNN takes 15 to 40 times as long.
- The gradient of the input at stride 1 is a forward convolution with the kernel turned around.

All are exact, forward and backward: the same products in another order. Other devices use torch's
own convolution. Shapes: B batch, C channels, H W space; a weight is (C, 1, k, k) with odd k.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.layers.slices import every_other

# oneDNN's gradient of a depthwise kernel is fast up to three columns.
WIDEST_FAST = 3
# oneDNN's gradient of a depthwise kernel is slow on maps up to this side.
LARGEST_SLOW = 2


class DepthwiseConv(nn.Conv2d):
    """`nn.Conv2d` with one kernel per channel and padding that keeps ceil(size / stride)."""

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int) -> None:
        padding = dilation * (kernel - 1) // 2
        super().__init__(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
        if x.device.type != "cpu":
            return super().forward(x)
        return depthwise(x, self.weight, self.stride[0], self.dilation[0])


def depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """A convolution with one kernel per channel, to (B, C, ceil(H / stride), ceil(W / stride)).

    Args:
        x: (B, C, H, W), on the CPU.
        weight: (C, 1, k, k).
        stride: 1 or 2.
        dilation: 1 or 2.
    """
    weight = _without_padding_taps(weight, max(x.shape[2:]), dilation)
    if weight.shape[2] == 1:
        return every_other(x, stride) * weight[:, 0, 0, 0, None, None]
    if dilation > 1 and stride == dilation:
        x, stride, dilation = every_other(x, dilation), 1, 1
    is_slow = (
        (stride, dilation) == (1, 2)
        or (dilation == 1 and weight.shape[3] > WIDEST_FAST)
        or (stride == 1 and max(x.shape[2:]) <= LARGEST_SLOW)
    )
    if not is_slow or torch.is_autocast_enabled("cpu"):
        return _convolution(x, weight, stride, dilation)
    out: Tensor = _Depthwise.apply(x, weight, stride, dilation)
    return out


def _convolution(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[2] // 2)
    return functional.conv2d(x, weight, None, stride, padding, dilation, weight.shape[0])


class _Depthwise(torch.autograd.Function):
    """oneDNN's forward pass, and a backward pass of calls that oneDNN is fast at."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.dilation = stride, dilation
        return _convolution(x, weight, stride, dilation)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (grad,), (x, weight), stride = grads, ctx.saved_tensors, ctx.stride
        needs_x, needs_weight, _, _ = ctx.needs_input_grad
        reach = weight.shape[2] // 2
        grad_x = grad_weight = None
        if needs_x and stride == 1:
            grad_x = _convolution(grad, weight.flip(2, 3), 1, ctx.dilation)
        elif needs_x:
            grad_x = _library(grad, x, weight, stride, reach, (True, False))[0]
        if needs_weight:
            if ctx.dilation == 2:
                grad, x = _to_parities(grad), _to_parities(x)
            if stride == 1 and max(x.shape[2:]) <= LARGEST_SLOW:
                grad_weight = _pairs_of_pixels(grad, x)
            elif weight.shape[3] > WIDEST_FAST:
                grad_weight = _columns_apart(grad, x, weight, stride)
            else:
                grad_weight = _library(grad, x, weight, stride, reach, (False, True))[1]
        return grad_x, grad_weight, None, None


def dense(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """A convolution over all channels, to (B, C', ceil(H / stride), ceil(W / stride)).

    Args:
        x: (B, C, H, W), on the CPU.
        weight: (C', C, k, k).
        stride: 1 or 2.
        dilation: 1 or 2.
    """
    weight = _without_padding_taps(weight, max(x.shape[2:]), dilation)
    if dilation > 1 and stride == dilation:
        x, stride, dilation = every_other(x, dilation), 1, 1
    if dilation == 1 or weight.shape[2] == 1:
        return functional.conv2d(x, weight, None, stride, weight.shape[2] // 2)
    out: Tensor = _Dilated.apply(x, weight)
    return out


class _Dilated(torch.autograd.Function):
    """A dense convolution of stride 1 and dilation 2, its kernel's gradient over the parities."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.conv2d(x, weight, None, 1, 2 * (weight.shape[2] // 2), 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad
        reach = weight.shape[2] // 2
        grad_x = grad_weight = None
        if needs_x:
            grad_x = _library(grad, x, weight, 1, 2 * reach, (True, False), 2)[0]
        if needs_weight:
            parities = _to_parities(grad), _to_parities(x)
            grad_weight = _library(*parities, weight, 1, reach, (False, True))[1]
        return grad_x, grad_weight


def _columns_apart(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The gradient of a kernel, computed `WIDEST_FAST` columns at a time over a shifted x."""
    size = weight.shape[3]
    reach, (height, width) = size // 2, x.shape[2:]
    columns = weight.new_empty(weight.shape[0], 1, size, WIDEST_FAST)
    # The last group may reach beyond the kernel; those columns meet zeros and are cut off.
    firsts = range(0, size, WIDEST_FAST)
    read = stride * (grad.shape[3] - 1) + WIDEST_FAST
    right = firsts[-1] + read - reach - width
    below = stride * (grad.shape[2] - 1) + size - reach - height
    padded = functional.pad(x, (reach, right, reach, below))
    parts = [
        _library(grad, padded[..., first : first + read], columns, stride, 0, (False, True))[1]
        for first in firsts
    ]
    return torch.cat(parts, 3)[..., :size]


def _pairs_of_pixels(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient of a 3x3 kernel: that of a tap sums over the pairs of pixels it connects."""
    batch, channels, height, width = x.shape
    count = height * width
    of_grad, of_x = (
        t.permute(0, 2, 3, 1).reshape(batch, count, channels).unsqueeze(2 - side)
        for side, t in enumerate((grad, x))
    )
    pairs = (of_grad * of_x).sum(0).view(count * count, channels)
    # torch.compile ignores a cache and warns about it.
    taps_of = _taps.__wrapped__ if torch.compiler.is_compiling() else _taps
    taps = x.new_zeros(9, channels).index_add_(0, taps_of(height, width, x.device), pairs)
    return taps.t().reshape(channels, 1, 3, 3)


@functools.cache
def _taps(height: int, width: int, device: torch.device) -> Tensor:
    """The tap of a 3x3 kernel that connects each pair of pixels, (H * W * H * W,)."""
    rows, columns = (torch.arange(side, device=device) for side in (height, width))
    down = rows[None, None, :, None] - rows[:, None, None, None] + 1
    right = columns[None, None, None, :] - columns[None, :, None, None] + 1
    return (3 * down + right).flatten()


def _library(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    padding: int,
    wanted: tuple[bool, bool],
    dilation: int = 1,
) -> tuple[Tensor, Tensor]:
    """Torch's gradients of x and of the kernel; only those wanted are computed."""
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward.default(
        grad, x, weight, None, [stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0],
        x.shape[1] // weight.shape[1], [*wanted, False],
    )  # fmt: skip
    return grad_x, grad_weight


def _without_padding_taps(weight: Tensor, size: int, dilation: int) -> Tensor:
    """The kernel without the taps whose distance from its middle is at least `size`."""
    reach = weight.shape[2] // 2
    useful = min(reach, (size - 1) // dilation)
    if useful == reach:
        return weight
    cut = slice(reach - useful, reach + useful + 1)
    return weight[:, :, cut, cut]


def _to_parities(x: Tensor) -> Tensor:
    """(B, C, H, W) to (4B, C, ceil(H / 2), ceil(W / 2)): sub-images of even and odd rows, columns.

    Odd sizes get a row or column of zeros. Memory stays channels-last.
    """
    if x.shape[2] % 2 or x.shape[3] % 2:
        x = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    batch, channels, height, width = x.shape
    split = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    images = split.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // 2, width // 2, channels)
    return images.permute(0, 3, 1, 2)
