"""The weighted sum of an edge, its operations' last batch norms included, in few passes.

Liu et al., DARTS, 2019, arXiv 1806.09055, eq. 2. A norm without parameters and the weight w that
follows it are one affine map of each channel, x * (w / deviation) - mean * w / deviation. So the
sum is one pass over each summand, and no normalised summand is ever written to memory. The backward
pass needs only the product of each summand with the one gradient that all share; alpha's gradient
comes out of the same products. `sum_by_definition` has the same numbers; every other device and
precision uses it. docs/precision.md explains why the statistics are taken in folded rows.

Where `wide_edges.py` fuses several edges, they lie side by side in the channels. Summands that are
the same for all of them are then multiplied by a matrix instead of repeated. Shapes: B batch,
C channels, H W space, E edges, O operations, N summands, F folds.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.layers.norm import (
    SPACE,
    BatchNorm,
    fold,
    folds_of,
    gradients_by_definition,
    running_statistics,
    unfold,
    update_running,
)

# Up to so many channels a product with a matrix of mostly zeros is faster than a repeated copy.
FEW_CHANNELS = 16


class Summand(NamedTuple):
    """What an operation adds to its edge.

    Attributes:
        column: of its weight.
        values: (B, C, H, W).
        norm: is applied to the values first; None where they are added as they are.
    """

    column: int
    values: Tensor
    norm: BatchNorm | None = None


class WideSummand(NamedTuple):
    """What an operation adds to E edges that lie side by side in the channels.

    Attributes:
        column: of its weights.
        values: (B, E * C, H, W), or (B, C, H, W) where they are the same for all edges.
        norms: one per edge, applied to the values first; empty where they are the same for all.
    """

    column: int
    values: Tensor
    norms: Sequence[BatchNorm] = ()


def weighted_sum(weights_O: Tensor, summands: Sequence[Summand]) -> Tensor:
    """The sum of weight * norm(values) over all summands, (B, C, H, W).

    Args:
        weights_O: the weights of the edge; `Summand.column` is an index into it.
        summands: at least one.
    """
    if not all(_can_fuse(s, weights_O) for s in summands) or not any(s.norm for s in summands):
        return sum_by_definition(weights_O, summands)
    wide = [WideSummand(s.column, s.values, () if s.norm is None else (s.norm,)) for s in summands]
    return wide_weighted_sum(weights_O[None], wide)


def wide_weighted_sum(weights_EO: Tensor, summands: Sequence[WideSummand]) -> Tensor:
    """The weighted sums of E edges side by side, (B, E * C, H, W).

    Only for tensors of one type on the CPU and, in training, more than one number per channel.

    Args:
        weights_EO: the weights of each edge.
        summands: at least one has norms.
    """
    # `len`, because torch.compile breaks its graph at `not` of a tuple.
    ordered = sorted(summands, key=lambda summand: len(summand.norms) == 0)
    norms = [norm for summand in ordered for norm in summand.norms]
    if not norms[0].training:
        return _by_running_statistics(weights_EO, ordered)
    columns = [summand.column for summand in ordered]
    values = [summand.values for summand in ordered]
    normed = len(norms) // len(weights_EO)
    out, mean, var = _WeightedSum.apply(weights_EO, columns, normed, norms[0].eps, *values)
    if norms[0].track_running_stats:
        count = values[0].numel() // values[0].shape[1]
        update_running(norms, mean.view(len(norms), -1), var.view(len(norms), -1), count)
    total: Tensor = out
    return total


def _by_running_statistics(weights_EO: Tensor, ordered: Sequence[WideSummand]) -> Tensor:
    """`wide_weighted_sum` in evaluation mode, as differentiable code; norms come first."""
    normed = [summand for summand in ordered if summand.norms]
    plain = ordered[len(normed) :]
    channels = normed[0].values.shape[1]
    mean, var = running_statistics([norm for summand in normed for norm in summand.norms])
    scale = _per_channel(weights_EO, [summand.column for summand in normed], channels)
    scale = scale * (var + normed[0].norms[0].eps).rsqrt().view_as(scale)
    out = -(mean.view_as(scale) * scale).sum(0)[:, None, None]
    if plain:
        same = torch.cat([summand.values for summand in plain], 1).permute(0, 2, 3, 1)
        matrix = _matrices(weights_EO, [summand.column for summand in plain], channels)
        out = (same @ matrix).permute(0, 3, 1, 2) + out
    for summand, factor in zip(normed, scale, strict=True):
        out = torch.addcmul(out, summand.values, factor[:, None, None])
    return out


def sum_by_definition(weights_O: Tensor, summands: Sequence[Summand]) -> Tensor:
    """`weighted_sum` as eq. 2 defines it."""
    weights = weights_O.unbind()
    terms = [
        weights[column] * (values if norm is None else norm(values))
        for column, values, norm in summands
    ]
    return sum(terms[1:], terms[0])


def _can_fuse(summand: Summand, weights_O: Tensor) -> bool:
    _, values, norm = summand
    if values.device.type != "cpu" or values.dtype != weights_O.dtype:
        return False
    if norm is None:
        return True
    has_variance = values.numel() > values.shape[1]
    return norm.training and norm.across_ranks is None and not norm.affine and has_variance


def repeat_for_edges(x: Tensor, edges: int) -> Tensor:
    """(B, C, H, W) to (B, E * C, H, W): a copy for each edge, in channels-last memory."""
    if edges == 1:
        return x
    batch, channels, height, width = x.shape
    copies = x.permute(0, 2, 3, 1)[:, :, :, None].expand(-1, -1, -1, edges, -1)
    return copies.reshape(batch, height, width, edges * channels).permute(0, 3, 1, 2)


def _sum_over_edges(x: Tensor, edges: int) -> Tensor:
    """(B, E * C, H, W) to (B, C, H, W), the sum over the edges."""
    if edges == 1:
        return x
    by_edge = x.permute(0, 2, 3, 1).unflatten(3, (edges, -1))
    total: Tensor = by_edge.sum(3)
    return total.permute(0, 3, 1, 2)


class _WeightedSum(torch.autograd.Function):
    """The sum, and the batch mean and variance (normed, E * C) of the first `normed` summands."""

    @staticmethod
    def forward(
        ctx: Any, weights_EO: Tensor, columns: list[int], normed: int, eps: float, *values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        shape, folds, edges = values[0].shape, folds_of(values[0]), len(weights_EO)
        in_rows = normed if _multiplies(shape[1], edges) else len(values)
        rows = _rows(values[:in_rows], normed, edges, folds)
        statistics = [torch.batch_norm_update_stats(x, None, None, 0.0) for x in rows[:normed]]
        means, variances = (
            torch.stack(t).view(normed, folds, -1) for t in zip(*statistics, strict=True)
        )
        mean = means.mean(1)
        distance = means - mean[:, None]
        var = variances.addcmul_(distance, distance).mean(1)
        # A summand without a norm has mean 0 and deviation 1.
        inverse = weights_EO.new_ones(in_rows, shape[1])
        torch.add(var, eps, out=inverse[:normed]).rsqrt_()
        scale = inverse * _per_channel(weights_EO, columns[:in_rows], shape[1])
        offset = (mean * scale[:normed]).sum(0, keepdim=True).neg_()
        offsets, *scales = _per_row(torch.cat([offset, scale]), folds)
        out = torch.addcmul(offsets, rows[0], scales[0])
        for x, factor in zip(rows[1:], scales[1:], strict=True):
            out.addcmul_(x, factor)
        if in_rows < len(values):
            pixels = _pixels(out, shape[1])
            matrices = _matrices(weights_EO, columns[in_rows:], shape[1])
            for x, matrix in zip(
                values[in_rows:], matrices.chunk(len(values) - in_rows), strict=True
            ):
                pixels.addmm_(_pixels(x, x.shape[1]), matrix)
        ctx.save_for_backward(weights_EO, mean, inverse, *values)
        ctx.columns, ctx.normed, ctx.eps, ctx.folds = columns, normed, eps, folds
        ctx.mark_non_differentiable(mean, var)
        return unfold(out, shape), mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weights_EO, mean, inverse, *values = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _gradients_by_definition(
                grads[0], weights_EO, ctx.columns, ctx.normed, ctx.eps, values
            )
        normed, folds, shape, edges = ctx.normed, ctx.folds, values[0].shape, len(weights_EO)
        count, in_rows = values[0].numel() // shape[1], len(inverse)
        needs_weights, _, _, _, *needs_values = ctx.needs_input_grad
        grad_rows = fold(grads[0], folds)
        # Only the gradient of the weights needs the products of summands without a norm.
        count_rows = in_rows if needs_weights else normed
        rows = _rows(values[:count_rows], normed, edges, folds)
        dot, total = _products(grad_rows, rows, mean, inverse[:count_rows], ctx.eps)
        weights = _per_channel(weights_EO, ctx.columns[:in_rows], shape[1])
        # scale * (grad - total / count - normalised x * dot / count), as a * grad + b * x + c.
        scale = inverse * weights
        shrunk = scale[:normed] / -count
        slope = shrunk * inverse[:normed] * dot[:normed]
        offset = torch.addcmul(shrunk * total, slope, mean, value=-1)
        terms = _per_row(torch.cat([scale, slope, offset]), folds)
        scales, slopes, offsets = (
            terms[:in_rows],
            terms[-2 * normed : -normed],
            terms[-normed:],
        )
        grad_values: list[Tensor | None] = []
        for i, needed in enumerate(needs_values[:in_rows]):
            if not needed:
                grad_values.append(None)
            elif i < normed:
                grad_x = torch.addcmul(offsets[i], rows[i], slopes[i])
                grad_values.append(unfold(grad_x.addcmul_(grad_rows, scales[i]), shape))
            else:
                grad_values.append(_sum_over_edges(unfold(grad_rows * scales[i], shape), edges))
        grad_pixels = _pixels(grad_rows, shape[1])
        if any(needs_values[in_rows:]):
            matrices = _matrices(weights_EO, ctx.columns[in_rows:], shape[1])
            grad_all = (grad_pixels @ matrices.t()).view(len(grads[0]), *shape[2:], -1)
            parts = grad_all.permute(0, 3, 1, 2).chunk(len(values) - in_rows, 1)
            grad_values += [
                part if needed else None
                for part, needed in zip(parts, needs_values[in_rows:], strict=True)
            ]
        else:
            grad_values += [None] * (len(values) - in_rows)
        grad_weights = None
        if needs_weights:
            grad_weights = torch.zeros_like(weights_EO)
            dots = [dot.view(in_rows, edges, -1).sum(2)]
            for x in values[in_rows:]:
                pairs = _pixels(x, x.shape[1]).t() @ grad_pixels
                same = pairs.view(x.shape[1], edges, -1).diagonal(0, 0, 2)
                dots.append(same.sum(1)[None])
            grad_weights[:, ctx.columns] = torch.cat(dots).t()
        return grad_weights, None, None, None, *grad_values


def _multiplies(channels: int, edges: int) -> bool:
    """Whether summands that E edges share are multiplied by matrices; `channels` is E * C."""
    return edges > 1 and channels <= FEW_CHANNELS * edges


def _matrices(weights_EO: Tensor, columns: list[int], channels: int) -> Tensor:
    """(N * C, E * C): maps the C channels of summand n to those of edge e, times its weight."""
    ones = torch.eye(channels // len(weights_EO), dtype=weights_EO.dtype)
    return torch.kron(weights_EO.t()[columns], ones)


def _pixels(x: Tensor, channels: int) -> Tensor:
    """(B, C, H, W), or its folded rows, to (B * H * W, C), a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, channels)


def _rows(values: Sequence[Tensor], normed: int, edges: int, folds: int) -> list[Tensor]:
    """The summands of all edges as folded rows; those without a norm are repeated."""
    return [
        fold(x if i < normed else repeat_for_edges(x, edges), folds) for i, x in enumerate(values)
    ]


def _per_channel(weights_EO: Tensor, columns: list[int], channels: int) -> Tensor:
    """The weights of N summands for each channel, (N, E * C); `channels` is E * C."""
    return weights_EO.t()[columns].repeat_interleave(channels // len(weights_EO), 1)


def _products(
    grad: Tensor, rows: list[Tensor], mean: Tensor, inverse: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """The sums of grad * normalised x, (N, E * C), and of grad, (E * C,), over folded rows."""
    count, channels = inverse.shape
    folds = grad.shape[1] // channels
    centres = mean.new_zeros(count, channels)
    centres[: len(mean)] = mean
    mean_rows, inverse_rows = (term.repeat(1, folds) for term in (centres, inverse))
    dots = []
    for x, centre, factor in zip(rows, mean_rows, inverse_rows, strict=True):
        # With these masks torch only computes two sums: of grad * normalised x, and of grad.
        _, dot, sums = torch.ops.aten.native_batch_norm_backward.default(
            grad, x, factor, None, None, centre, factor, True, eps, [False, True, True]
        )
        dots.append(dot)
    return torch.stack(dots).view(count, folds, channels).sum(1), sums.view(folds, -1).sum(0)


def _gradients_by_definition(
    grad: Tensor,
    weights_EO: Tensor,
    columns: list[int],
    normed: int,
    eps: float,
    values: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """The gradients of `_WeightedSum` as a formula that can be differentiated again."""
    edges, channels = len(weights_EO), values[0].shape[1]
    weights = _per_channel(weights_EO, columns, channels)[:, :, None, None]
    grad_weights = list(torch.zeros_like(weights_EO).unbind(1))
    grad_values = []
    for i, (column, x) in enumerate(zip(columns, values, strict=True)):
        if i < normed:
            grad_x, dot, _ = gradients_by_definition(x, grad, x.new_ones(channels), eps)
            assert dot is not None
            grad_values.append(weights[i] * grad_x)
        else:
            dot = (grad * repeat_for_edges(x, edges)).sum(SPACE)
            grad_values.append(_sum_over_edges(weights[i] * grad, edges))
        grad_weights[column] = dot.view(edges, -1).sum(1)
    return torch.stack(grad_weights, 1), None, None, None, *grad_values


def _per_row(per_channel: Tensor, folds: int) -> Sequence[Tensor]:
    """(N, C) to N of (1, F * C, 1, 1)."""
    return per_channel.repeat(1, folds)[:, None, :, None, None].unbind()
