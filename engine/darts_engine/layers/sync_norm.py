"""Batch norm over the images of all ranks, by sums that can be differentiated twice.

Each rank's means, variances and counts are combined by Chan's rule. The sum over ranks is its own
adjoint: where every rank's loss is its part of the whole, a gradient that reaches the sum on any
rank belongs to all, so the backward pass sums the gradients over the ranks. That pass is such a sum
again, which is what second order's exact product differentiates.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute.parallel import World, world
from darts_engine.layers.norm import SPACE, BatchNorm


def synchronise(network: nn.Module, among: World) -> None:
    """Let every batch norm of a network normalise by the images of all ranks while it trains."""
    if among.size > 1:
        for norm in network.modules():
            if isinstance(norm, BatchNorm):
                norm.together = normalised


def normalised(norm: BatchNorm, x: Tensor) -> Tensor:
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
    """Mean and variance (C,) over all ranks, and how many numbers they are of."""
    var, mean = torch.var_mean(x, SPACE, correction=0)
    count = x.new_full((1,), x.numel() // x.shape[1])
    here = world()
    before, after = here.rank, here.size - 1 - here.rank
    # Everyone's row in one table: a sum with zeros elsewhere, so that one kind of sum is enough.
    row = torch.cat([mean, var, count])[None]
    table = _Sum.apply(functional.pad(row, (0, 0, before, after)))
    means, variances, counts = table.split([len(mean), len(mean), 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(0) / total
    var = ((variances + (means - mean).square()) * counts).sum(0) / total
    return mean, var, total.detach()


class _Sum(torch.autograd.Function):
    """The sum over ranks, the same on each; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone()
        world().sum_([total])
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ARG004
        summed: Tensor = _Sum.apply(grads[0])
        return summed
