"""The weighted sum of an edge, its operations' last batch norms included, in few passes.

Liu et al., DARTS, 2019, arXiv 1806.09055, eq. 2. A norm without parameters and the weight w that
follows it are one affine map of each channel, x * (w / deviation) - mean * w / deviation. So the
sum of all summands is one pass over each of them, and their normalised forms are never written to
memory. The backward pass needs, of each summand, only its product with the one gradient that all
share; alpha's gradient falls out of the same products. The numbers are those of `plainly`, which
every other device and precision uses; docs/precision.md tells why the statistics are taken in
folded rows. Several edges lie side by side in the channels where `wide_edges.py` says so; what they
all get the same is then not repeated but multiplied by a matrix. Shapes: B batch, C channels, H W
space, E edges, O operations, N summands, F folds.
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
    running,
    take_in,
    unfold,
)

# Up to so many channels a product with a matrix, most of it zeros, costs less than a repeated copy.
FEW_CHANNELS = 16


class Summand(NamedTuple):
    """What an operation adds to its edge: values (B, C, H, W), still to be normalised or not."""

    column: int
    values: Tensor
    norm: BatchNorm | None = None


class WideSummand(NamedTuple):
    """What an operation adds to E edges, side by side in the channels.

    Attributes:
        column: whose weight it is.
        values: (B, E * C, H, W), or (B, C, H, W) where all edges get the same; without a norm.
        norms: each edge's, still to be applied; none where the edges get the same.
    """

    column: int
    values: Tensor
    norms: Sequence[BatchNorm] = ()


def weighted_sum(weights_O: Tensor, summands: Sequence[Summand]) -> Tensor:
    """The sum of weight * norm(values), (B, C, H, W); `column` says whose weight it is."""
    if not all(_can_share(s, weights_O) for s in summands) or not any(s.norm for s in summands):
        return plainly(weights_O, summands)
    wide = [WideSummand(s.column, s.values, () if s.norm is None else (s.norm,)) for s in summands]
    return mixtures(weights_O[None], wide)


def mixtures(weights_EO: Tensor, summands: Sequence[WideSummand]) -> Tensor:
    """The same of E edges side by side, (B, E * C, H, W); at least one summand has norms.

    On the CPU, in one precision; in training over more than one number per channel.
    """
    ordered = sorted(summands, key=lambda summand: not summand.norms)
    norms = [norm for summand in ordered for norm in summand.norms]
    if not norms[0].training:
        return _by_running_statistics(weights_EO, ordered)
    columns = [summand.column for summand in ordered]
    values = [summand.values for summand in ordered]
    normed = len(norms) // len(weights_EO)
    out, mean, var = _Mixture.apply(weights_EO, columns, normed, norms[0].eps, *values)
    if norms[0].track_running_stats:
        count = values[0].numel() // values[0].shape[1]
        take_in(norms, mean.view(len(norms), -1), var.view(len(norms), -1), count)
    mixed: Tensor = out
    return mixed


def _by_running_statistics(weights_EO: Tensor, ordered: Sequence[WideSummand]) -> Tensor:
    """`mixtures` in evaluation mode; what has norms comes first. Ordinary differentiable code."""
    normed = [summand for summand in ordered if summand.norms]
    plain = ordered[len(normed) :]
    channels = normed[0].values.shape[1]
    mean, var = running([norm for summand in normed for norm in summand.norms])
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


def repeated(x: Tensor, edges: int) -> Tensor:
    """(B, C, H, W) to (B, E * C, H, W), the same for each edge, in channels-last memory."""
    if edges == 1:
        return x
    batch, channels, height, width = x.shape
    copies = x.permute(0, 2, 3, 1)[:, :, :, None].expand(-1, -1, -1, edges, -1)
    return copies.reshape(batch, height, width, edges * channels).permute(0, 3, 1, 2)


def _gathered(x: Tensor, edges: int) -> Tensor:
    """(B, E * C, H, W) to (B, C, H, W), the sum over the edges."""
    if edges == 1:
        return x
    apart = x.permute(0, 2, 3, 1).unflatten(3, (edges, -1))
    total: Tensor = apart.sum(3)
    return total.permute(0, 3, 1, 2)


class _Mixture(torch.autograd.Function):
    """The sum, and the mean and variance (normed, E * C) of the first `normed` summands."""

    @staticmethod
    def forward(
        ctx: Any, weights_EO: Tensor, columns: list[int], normed: int, eps: float, *values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        shape, folds, edges = values[0].shape, folds_of(values[0]), len(weights_EO)
        in_rows = normed if _multiplies(shape[1], edges) else len(values)
        rows = _rows(values[:in_rows], normed, edges, folds)
        taken = [torch.batch_norm_update_stats(x, None, None, 0.0) for x in rows[:normed]]
        means, variances = (
            torch.stack(t).view(normed, folds, -1) for t in zip(*taken, strict=True)
        )
        mean = means.mean(1)
        apart = means - mean[:, None]
        var = variances.addcmul_(apart, apart).mean(1)
        # What is added as it is has mean 0 and deviation 1.
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
            return _by_definition(grads[0], weights_EO, ctx.columns, ctx.normed, ctx.eps, values)
        normed, folds, shape, edges = ctx.normed, ctx.folds, values[0].shape, len(weights_EO)
        count, in_rows = values[0].numel() // shape[1], len(inverse)
        needs_weights, _, _, _, *needs_values = ctx.needs_input_grad
        grad_rows = fold(grads[0], folds)
        # Plain summands matter only to their weights.
        features = in_rows if needs_weights else normed
        rows = _rows(values[:features], normed, edges, folds)
        dot, total = _products(grad_rows, rows, mean, inverse[:features], ctx.eps)
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
                grad_values.append(_gathered(unfold(grad_rows * scales[i], shape), edges))
        grad_pixels = _pixels(grad_rows, shape[1])
        if any(needs_values[in_rows:]):
            matrices = _matrices(weights_EO, ctx.columns[in_rows:], shape[1])
            together = (grad_pixels @ matrices.t()).view(len(grads[0]), *shape[2:], -1)
            apart = together.permute(0, 3, 1, 2).chunk(len(values) - in_rows, 1)
            grad_values += [
                part if needed else None
                for part, needed in zip(apart, needs_values[in_rows:], strict=True)
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
    """Whether plain summands of edges side by side, E * C channels, are multiplied by matrices."""
    return edges > 1 and channels <= FEW_CHANNELS * edges


def _matrices(weights_EO: Tensor, columns: list[int], channels: int) -> Tensor:
    """(N * C, E * C): summand n's C channels to those of edge e, each times its weight."""
    ones = torch.eye(channels // len(weights_EO), dtype=weights_EO.dtype)
    return torch.kron(weights_EO.t()[columns], ones)


def _pixels(x: Tensor, channels: int) -> Tensor:
    """(B, C, H, W), or its folded rows, to (B * H * W, C), a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, channels)


def _rows(values: Sequence[Tensor], normed: int, edges: int, folds: int) -> list[Tensor]:
    """Folded rows of all edges' values; what is plain is the same for each edge."""
    return [fold(x if i < normed else repeated(x, edges), folds) for i, x in enumerate(values)]


def _per_channel(weights_EO: Tensor, columns: list[int], channels: int) -> Tensor:
    """(N, E * C), where `channels` is E * C."""
    return weights_EO.t()[columns].repeat_interleave(channels // len(weights_EO), 1)


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
        _, dot, sums = torch.ops.aten.native_batch_norm_backward.default(
            grad, x, factor, None, None, centre, factor, True, eps, [False, True, True]
        )
        dots.append(dot)
    return torch.stack(dots).view(count, folds, channels).sum(1), sums.view(folds, -1).sum(0)


def _by_definition(
    grad: Tensor,
    weights_EO: Tensor,
    columns: list[int],
    normed: int,
    eps: float,
    values: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """The same gradients as a formula that can be differentiated again."""
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
            dot = (grad * repeated(x, edges)).sum(SPACE)
            grad_values.append(_gathered(weights[i] * grad, edges))
        grad_weights[column] = dot.view(edges, -1).sum(1)
    return torch.stack(grad_weights, 1), None, None, None, *grad_values


def _per_row(per_channel: Tensor, folds: int) -> Sequence[Tensor]:
    """(N, C) to N of (1, F * C, 1, 1)."""
    return per_channel.repeat(1, folds)[:, None, :, None, None].unbind()
