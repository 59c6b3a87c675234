"""Batch norm over the images of all ranks, by sums that can be differentiated twice.

Each rank's means, variances and counts are combined by the rule of Chan et al. (1979) for pairwise
variances. The sum over ranks is its own adjoint: each rank's loss is its part of the whole, so the
backward pass sums the gradients of all ranks. The backward pass is such a sum again, so it can be
differentiated once more, as the exact product of second order does.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute.parallel import World, world
from darts_engine.layers.norm import SPACE, BatchNorm


def synchronise(network: nn.Module, among: World) -> None:
    """Make every batch norm of a network normalise over the images of all ranks in training.

    With one rank nothing changes.
    """
    if among.size > 1:
        for norm in network.modules():
            if isinstance(norm, BatchNorm):
                norm.across_ranks = normalise


def normalise(norm: BatchNorm, x: Tensor) -> Tensor:
    """(B, C, H, W) to the same, over all but C and over all ranks; updates running statistics."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean, var, count = _statistics(wide)
    scale = (var + norm.eps).rsqrt()
    if norm.track_running_stats:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            norm.running_mean.lerp_(mean.to(norm.running_mean), norm.momentum)
            unbiased = var * (count / (count - 1))
            norm.running_var.lerp_(unbiased.to(norm.running_var), norm.momentum)
    out = (wide - mean[:, None, None]) * scale[:, None, None]
    if norm.affine:
        out = out * norm.weight[:, None, None] + norm.bias[:, None, None]
    return out.to(x.dtype)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (C,) over all ranks, and the number of values (1,) per channel."""
    var, mean = torch.var_mean(x, SPACE, correction=0)
    count = x.new_full((1,), x.numel() // x.shape[1])
    here = world()
    before, after = here.rank, here.size - 1 - here.rank
    # Every rank fills its own row and leaves zeros elsewhere, so a sum gathers all rows.
    row = torch.cat([mean, var, count])[None]
    table = _Sum.apply(functional.pad(row, (0, 0, before, after)))
    means, variances, counts = table.split([len(mean), len(mean), 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(0) / total
    var = ((variances + (means - mean).square()) * counts).sum(0) / total
    return mean, var, total.detach()


class _Sum(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of the gradients of all ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone()
        world().sum_([total])
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ARG004
        summed: Tensor = _Sum.apply(grads[0])
        return summed
