"""The weighted sum of an edge, its operations' last batch norms included, in few passes.

Liu et al., DARTS, 2019, arXiv 1806.09055, eq. 2. A norm without parameters and the weight w that
follows it are one affine map of each channel, x * (w / deviation) - mean * w / deviation. So the
sum of all summands is one pass over each of them, and their normalised forms are never written to
memory. The backward pass needs, of each summand, only its product with the one gradient that all
share; alpha's gradient falls out of the same products. The numbers are those of `plainly`, which
every other device and precision uses; docs/precision.md tells why the statistics are taken in
folded rows. Shapes: B batch, C channels, H W space, O operations, N summands, F folds.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.norm import (
    SPACE,
    BatchNorm,
    fold,
    folds_of,
    gradients_by_definition,
    take_in,
    unfold,
)


class Summand(NamedTuple):
    """What an operation adds to its edge: values (B, C, H, W), still to be normalised or not."""

    column: int
    values: Tensor
    norm: BatchNorm | None = None


def mixture(weights_O: Tensor, summands: Sequence[Summand]) -> Tensor:
    """The sum of weight * norm(values), (B, C, H, W); `column` says whose weight it is."""
    ordered = sorted(summands, key=lambda summand: summand.norm is None)
    norms = [summand.norm for summand in ordered if summand.norm is not None]
    if not norms or not all(_can_share(s, weights_O) for s in ordered):
        return plainly(weights_O, summands)
    columns = [summand.column for summand in ordered]
    values = [summand.values for summand in ordered]
    out, mean, var = _Mixture.apply(weights_O, columns, len(norms), norms[0].eps, *values)
    if norms[0].track_running_stats:
        take_in(norms, mean, var, values[0].numel() // values[0].shape[1])
    mixed: Tensor = out
    return mixed


def plainly(weights_O: Tensor, summands: Sequence[Summand]) -> Tensor:
    """The same, as the definition says it."""
    weights = weights_O.unbind()
    terms = [
        weights[column] * (values if norm is None else norm(values))
        for column, values, norm in summands
    ]
    return sum(terms[1:], terms[0])


def _can_share(summand: Summand, weights_O: Tensor) -> bool:
    _, values, norm = summand
    if values.device.type != "cpu" or values.dtype != weights_O.dtype:
        return False
    if norm is None:
        return True
    has_variance = values.numel() > values.shape[1]
    return norm.training and norm.together is None and not norm.affine and has_variance


class _Mixture(torch.autograd.Function):
    """The sum, and the mean and variance (normed, C) of the first `normed` summands."""

    @staticmethod
    def forward(
        ctx: Any, weights_O: Tensor, columns: list[int], normed: int, eps: float, *values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        shape, folds = values[0].shape, folds_of(values[0])
        rows = [fold(x, folds) for x in values]
        taken = [torch.batch_norm_update_stats(x, None, None, 0.0) for x in rows[:normed]]
        means, variances = (
            torch.stack(t).view(normed, folds, -1) for t in zip(*taken, strict=True)
        )
        mean = means.mean(1)
        apart = means - mean[:, None]
        var = variances.addcmul_(apart, apart).mean(1)
        weights = weights_O[columns]
        # What is added as it is has mean 0 and deviation 1.
        inverse = weights.new_ones(len(values), shape[1])
        torch.add(var, eps, out=inverse[:normed]).rsqrt_()
        scale = inverse * weights[:, None]
        offset = (mean * scale[:normed]).sum(0).neg_()
        scales = _rows_of(scale, folds)
        out = torch.addcmul(_rows_of(offset[None], folds)[0], rows[0], scales[0])
        for x, factor in zip(rows[1:], scales[1:], strict=True):
            out.addcmul_(x, factor)
        ctx.save_for_backward(weights_O, mean, inverse, *values)
        ctx.columns, ctx.normed, ctx.eps, ctx.folds = columns, normed, eps, folds
        ctx.mark_non_differentiable(mean, var)
        return unfold(out, shape), mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weights_O, mean, inverse, *values = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _by_definition(grads[0], weights_O, ctx.columns, ctx.normed, ctx.eps, values)
        normed, folds, shape = ctx.normed, ctx.folds, values[0].shape
        count = values[0].numel() // shape[1]
        needs_weights, _, _, _, *needs_values = ctx.needs_input_grad
        grad_rows = fold(grads[0], folds)
        rows = [fold(x, folds) for x in values]
        # Plain summands matter only to their weights.
        seen = len(values) if needs_weights else normed
        dot, total = _products(grad_rows, rows[:seen], mean, inverse[:seen], ctx.eps)
        weights = weights_O[ctx.columns]
        scale = inverse * weights[:, None]
        # scale * (grad - total / count - normalised x * dot / count), as a * grad + b * x + c.
        shrunk = scale[:normed] / -count
        slope = shrunk * inverse[:normed] * dot[:normed]
        offset = torch.addcmul(shrunk * total, slope, mean, value=-1)
        scales, slopes, offsets = (_rows_of(term, folds) for term in (scale, slope, offset))
        grad_values: list[Tensor | None] = []
        for i, x in enumerate(rows):
            if not needs_values[i]:
                grad_values.append(None)
            elif i < normed:
                grad_x = torch.addcmul(offsets[i], x, slopes[i]).addcmul_(grad_rows, scales[i])
                grad_values.append(unfold(grad_x, shape))
            else:
                grad_values.append(grads[0] * weights[i])
        grad_weights = None
        if needs_weights:
            grad_weights = torch.zeros_like(weights_O)
            grad_weights[ctx.columns] = dot.sum(1)
        return grad_weights, None, None, None, *grad_values


def _products(
    grad: Tensor, rows: list[Tensor], mean: Tensor, inverse: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Sums of grad * normalised x, (N, C), and of grad, (C,), both over folded rows."""
    count, channels = inverse.shape
    folds = grad.shape[1] // channels
    centres = mean.new_zeros(count, channels)
    centres[: len(mean)] = mean
    mean_rows, inverse_rows = (term.repeat(1, folds) for term in (centres, inverse))
    dots = []
    for x, centre, factor in zip(rows, mean_rows, inverse_rows, strict=True):
        # With these masks the library only sums: grad * normalised x, and grad.
        _, dot, sums = torch.ops.aten.native_batch_norm_backward(
            grad, x, factor, None, None, centre, factor, True, eps, [False, True, True]
        )
        dots.append(dot)
    return torch.stack(dots).view(count, folds, channels).sum(1), sums.view(folds, -1).sum(0)


def _by_definition(
    grad: Tensor,
    weights_O: Tensor,
    columns: list[int],
    normed: int,
    eps: float,
    values: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """The same gradients as a formula that can be differentiated again."""
    weights = weights_O.unbind()
    grad_weights = list(torch.zeros_like(weights_O).unbind())
    grad_values = []
    for i, (column, x) in enumerate(zip(columns, values, strict=True)):
        ones = x.new_ones(x.shape[1]) if i < normed else None
        if ones is None:
            grad_x, dot = grad, (grad * x).sum(SPACE)
        else:
            grad_x, found, _ = gradients_by_definition(x, grad, ones, eps)
            assert found is not None
            dot = found
        grad_values.append(weights[column] * grad_x)
        grad_weights[column] = dot.sum()
    return torch.stack(grad_weights), None, None, None, *grad_values


def _rows_of(per_channel: Tensor, folds: int) -> Sequence[Tensor]:
    """(N, C) to N of (1, F * C, 1, 1)."""
    return per_channel.repeat(1, folds)[:, None, :, None, None].unbind()
