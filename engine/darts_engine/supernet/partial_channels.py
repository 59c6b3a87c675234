"""Partial channels: the operations of an edge take C / K channels, the others bypass them.

PC-DARTS, Xu et al., 2020, arXiv 1907.05737, section 3.2. Shapes: B batch, C channels, H W space.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.layers.slices import split_channels

# A shuffle of at most so many channels is computed as a product with a matrix.
FEW_CHANNELS = 16


def split(x: Tensor, channels: int, stride: int) -> tuple[Tensor, Tensor | None]:
    """The channels that the operations take, and those that bypass them.

    Args:
        x: a state, (B, C, H, W).
        channels: C / K, how many the operations take. Where it is C, nothing bypasses them.
        stride: of the operations. With 2 the bypass is pooled to their resolution.

    Returns:
        (B, C / K, H, W), and (B, C - C / K, ceil(H / stride), ceil(W / stride)) or None.
    """
    if channels == x.shape[1]:
        return x, None
    # Many edges read each part, so each is copied into contiguous memory once.
    chosen, bypass = split_channels(x, (channels, x.shape[1] - channels))
    if stride == 2:
        # DEVIATION: the official code cannot take odd sizes; ours rounds up like the rest.
        bypass = functional.max_pool2d(bypass, 2, 2, ceil_mode=True)
    return chosen, bypass


def join(node: Tensor, bypasses: Sequence[Tensor], shares: Sequence[Tensor], groups: int) -> Tensor:
    """A node of all C channels: those that its edges computed, and those that bypassed them.

    Args:
        node: the sum of the edges' outputs, (B, C / K, H, W).
        bypasses: each edge's bypass, (B, C - C / K, H, W).
        shares: each edge's factor (edge normalisation, eq. 4); empty where every edge counts fully.
        groups: K.
    """
    if not shares:
        return shuffle(node, sum(bypasses[1:], bypasses[0]), groups)
    passed = shares[0] * bypasses[0]
    for share, bypass in zip(shares[1:], bypasses[1:], strict=True):
        passed = torch.addcmul(passed, bypass, share)
    return shuffle(node, passed, groups)


def shuffle(first: Tensor, others: Tensor, groups: int) -> Tensor:
    """Both side by side, with channel c of group g at place c * groups + g.

    Args:
        first: the first group's channels, (B, C / groups, H, W).
        others: those of the other groups, (B, C - C / groups, H, W).
        groups: K.

    Returns:
        (B, C, H, W), in the same order of memory.
    """
    batch, channels, height, width = first.shape
    if _multiplies(first, groups):
        order = torch.arange(groups * channels).view(groups, channels).t().flatten()
        matrix = torch.eye(len(order), dtype=first.dtype)[:, order]
        rows, other_rows = (t.permute(0, 2, 3, 1).flatten(0, 2) for t in (first, others))
        shuffled = torch.addmm(rows @ matrix[:channels], other_rows, matrix[channels:])
        return shuffled.view(batch, height, width, -1).permute(0, 3, 1, 2)
    x = torch.cat([first, others], 1)
    if x.is_contiguous():
        planes = x.view(batch, groups, channels, height, width).transpose(1, 2)
        return planes.reshape(x.shape)
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height, width, groups, channels)
    return pixels.transpose(3, 4).flatten(3).permute(0, 3, 1, 2)


def _multiplies(first: Tensor, groups: int) -> bool:
    """Whether a product with a permutation matrix is faster than moving the channels."""
    return (
        first.device.type == "cpu"
        and groups * first.shape[1] <= FEW_CHANNELS
        and not first.is_contiguous()
        and not torch.is_autocast_enabled("cpu")
    )
