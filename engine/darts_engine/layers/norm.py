"""Batch norm whose float32 sums are accurate in channels-last memory too.

Ioffe and Szegedy, 2015, arXiv 1502.03167. On the CPU, torch sums a channels-last batch row by row
in float32, B * H * W terms; in contiguous memory it sums in float64. The channels-last statistics
are 100 times less accurate, and ReLUs near zero turn the difference into wrong gradients
(docs/precision.md). Here k neighbouring pixels are folded into the channels: torch sums
B * H * W / k terms each, and the k results are combined by the rule of Chan et al. (1979) for
pairwise variances. The wider rows are also faster when there are few channels. Shapes: B batch,
C channels, H W space.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

# A folded row, its sums and its statistics fit into a first-level cache.
WIDEST_ROW = 4096
# Sums of so few terms are accurate without folding.
FEW_TERMS = 64
SPACE = (0, 2, 3)


class BatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, accurate in float32 on the CPU.

    Attributes:
        across_ranks: normalises in training instead, over the images of all ranks; None alone.
    """

    across_ranks: "Callable[[BatchNorm, Tensor], Tensor] | None" = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same, normalised over all but C."""
        if self.training and self.across_ranks is not None:
            return self.across_ranks(self, x)
        needs_care = self.training and x.dtype == torch.float32 and x.device.type == "cpu"
        if not needs_care or x.numel() <= FEW_TERMS * x.shape[1]:
            return super().forward(x)
        out, mean, var = _Normalise.apply(x, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            update_running([self], mean[None], var[None], x.numel() // x.shape[1])
        normalised: Tensor = out
        return normalised


def normalise_side_by_side(norms: Sequence[BatchNorm], x: Tensor) -> Tensor:
    """(B, N * C, H, W) to the same: the nth C channels by the nth norm.

    All norms are in the same mode, have the same momentum and no parameters. In training there is
    more than one number per channel.
    """
    if not norms[0].training:
        known_mean, known_var = running_statistics(norms)
        return functional.batch_norm(x, known_mean, known_var, eps=norms[0].eps)
    out, mean, var = _Normalise.apply(x, None, None, norms[0].eps)
    if norms[0].track_running_stats:
        shape = (len(norms), -1)
        update_running(norms, mean.view(shape), var.view(shape), x.numel() // x.shape[1])
    normalised: Tensor = out
    return normalised


def update_running(norms: Sequence[nn.BatchNorm2d], mean: Tensor, var: Tensor, count: int) -> None:
    """Move the running statistics of N norms towards those of a batch.

    Args:
        norms: all with the momentum of the first.
        mean: of the batch, (N, C).
        var: of the batch, not corrected, (N, C).
        count: values per channel of the batch; at least 2.
    """
    weight = norms[0].momentum
    assert weight is not None
    unbiased = var * (count / (count - 1))
    counters = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    means, variances = zip(*(_running_statistics(norm) for norm in norms), strict=True)
    # torch would turn a number into a tensor once for each counter.
    torch._foreach_add_(counters, [torch.ones_like(counters[0])] * len(counters))
    torch._foreach_lerp_(means, mean.unbind(), weight)
    torch._foreach_lerp_(variances, unbiased.unbind(), weight)


def running_statistics(norms: Sequence[nn.BatchNorm2d]) -> tuple[Tensor, Tensor]:
    """The running means and variances of N norms, one norm after another, (N * C,) each."""
    means, variances = zip(*(_running_statistics(norm) for norm in norms), strict=True)
    return torch.cat(means), torch.cat(variances)


def _running_statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Within this, forward passes in training mode leave the running statistics as they are."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    before = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracks in zip(norms, before, strict=True):
            norm.track_running_stats = tracks


class _Normalise(torch.autograd.Function):
    """The output of a batch norm in training, and the mean and variance (C,) of the batch."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        folds, channels = folds_of(x), x.shape[1]
        means, variances = torch.batch_norm_update_stats(fold(x, folds), None, None, 0.0)
        means = means.view(folds, channels)
        mean = means.mean(0)
        distance = means - mean
        var = variances.view(folds, channels).addcmul(distance, distance).mean(0)
        out, _, _ = torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, var)
        ctx.folds, ctx.eps = folds, eps
        ctx.mark_non_differentiable(mean, var)
        return out, mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, weight, mean, var = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *gradients_by_definition(x, grads[0], weight, ctx.eps), None
        folds, channels = ctx.folds, x.shape[1]
        rows, grad_rows = fold(x, folds), fold(grads[0], folds)
        inverse = (var + ctx.eps).rsqrt_()
        mean_row, inverse_row = row_of(mean, folds), row_of(inverse, folds)
        # With these masks torch only computes two sums: of grad * normalised x, and of grad.
        _, dots, sums = torch.ops.aten.native_batch_norm_backward.default(
            grad_rows, rows, inverse_row, None, None, mean_row, inverse_row, True, ctx.eps,
            [False, True, True],
        )  # fmt: skip
        dot, total = dots.view(folds, channels).sum(0), sums.view(folds, channels).sum(0)
        # scale * (grad - total / count - normalised x * dot / count), as a * grad + b * x + c.
        scale = inverse if weight is None else inverse * weight
        shrunk = scale / (-x.numel() // channels)
        slope = shrunk * inverse * dot
        offset = torch.addcmul(shrunk * total, slope, mean, value=-1)
        terms = [row_of(term, folds).view(1, -1, 1, 1) for term in (offset, slope, scale)]
        grad_x = torch.addcmul(terms[0], rows, terms[1]).addcmul_(grad_rows, terms[2])
        if weight is None:
            return unfold(grad_x, x.shape), None, None, None
        return unfold(grad_x, x.shape), dot, total, None


def gradients_by_definition(
    x: Tensor, grad: Tensor, weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The gradients of `_Normalise` as a formula that can be differentiated again.

    Args:
        x: (B, C, H, W).
        grad: of the output, (B, C, H, W).
        weight: (C,) or None, where the norm has no parameters.
        eps: added to the variance.

    Returns:
        The gradients of x, of the weight (C,) and of the bias (C,); None without parameters.
    """
    centred = x - x.mean(SPACE, keepdim=True)
    inverse = (centred.square().mean(SPACE, keepdim=True) + eps).rsqrt()
    normalised = centred * inverse
    inner = grad if weight is None else grad * weight[:, None, None]
    grad_x = inverse * (
        inner
        - inner.mean(SPACE, keepdim=True)
        - normalised * (inner * normalised).mean(SPACE, keepdim=True)
    )
    if weight is None:
        return grad_x, None, None
    return grad_x, (grad * normalised).sum(SPACE), grad.sum(SPACE)


def folds_of(x: Tensor) -> int:
    """k, the neighbouring pixels of a row: the largest divisor of B * H * W that fits.

    It is at most the root of B * H * W, and k * C at most `WIDEST_ROW`.
    """
    count = x.numel() // x.shape[1]
    most = max(1, min(math.isqrt(count), WIDEST_ROW // x.shape[1]))
    return next(k for k in range(most, 0, -1) if count % k == 0)


def fold(x: Tensor, folds: int) -> Tensor:
    """(B, C, H, W) to (1, folds * C, B * H * W / folds, 1), a view of channels-last memory."""
    rows = x.permute(0, 2, 3, 1).reshape(1, -1, 1, folds * x.shape[1])
    return rows.permute(0, 3, 1, 2)


def row_of(per_channel: Tensor, folds: int) -> Tensor:
    """(C,) to (folds * C,): the values of a folded row."""
    # With one channel the reshaped view has a stride of 0, which torch's kernels ignore.
    return per_channel.expand(folds, -1).reshape(-1).contiguous()


def unfold(rows: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `fold`, in channels-last memory."""
    batch, channels, height, width = shape
    return rows.permute(0, 2, 3, 1).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
