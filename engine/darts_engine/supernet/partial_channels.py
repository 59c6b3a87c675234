"""Partial channels: the operations see C / K channels of a state, the others pass by.

PC-DARTS, Xu et al., 2020, arXiv 1907.05737. Shapes: B batch, C channels, H W space.
"""

import torch
from torch import Tensor

# A shuffle of so many channels is a product with a matrix.
FEW_CHANNELS = 16


def shuffled(first: Tensor, others: Tensor, groups: int) -> Tensor:
    """Both side by side and shuffled: channel c of group g to place c * groups + g (PC-DARTS).

    Args:
        first: the first group's channels, (B, C / groups, H, W).
        others: those of the other groups, (B, C - C / groups, H, W).
        groups: K.

    Memory stays channels-last, where it is.
    """
    batch, channels, height, width = first.shape
    if _multiplies(first, groups):
        order = torch.arange(groups * channels).view(groups, channels).t().flatten()
        matrix = torch.eye(len(order), dtype=first.dtype)[:, order]
        rows, other_rows = (t.permute(0, 2, 3, 1).flatten(0, 2) for t in (first, others))
        mixed = torch.addmm(rows @ matrix[:channels], other_rows, matrix[channels:])
        return mixed.view(batch, height, width, -1).permute(0, 3, 1, 2)
    x = torch.cat([first, others], 1)
    if x.is_contiguous():
        planes = x.view(batch, groups, channels, height, width).transpose(1, 2)
        return planes.reshape(x.shape)
    apart = x.permute(0, 2, 3, 1).reshape(batch, height, width, groups, channels)
    return apart.transpose(3, 4).flatten(3).permute(0, 3, 1, 2)


def _multiplies(first: Tensor, groups: int) -> bool:
    """Whether moving so few channels about costs the CPU more than a product with a matrix."""
    return (
        first.device.type == "cpu"
        and groups * first.shape[1] <= FEW_CHANNELS
        and not first.is_contiguous()
        and not torch.is_autocast_enabled("cpu")
    )
