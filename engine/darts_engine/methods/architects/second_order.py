"""DARTS, second order: Liu et al., 2019, arXiv 1806.09055, eq. 6 to 8 with xi > 0.

Alpha follows the validation loss that the weights will have after their next step. With the
momentum buffer b (zero where there is none yet), momentum mu and weight decay lambda of the real
optimizer, and xi its learning rate:

    g  = grad_w L_train(w, alpha)
    w' = w - xi (mu b + g + lambda w)
    v  = grad_w' L_valid(w', alpha)
    gradient of alpha = grad_alpha L_valid(w', alpha) - xi h
    h  = grad_alpha <grad_w L_train(w, alpha), v>

`h` comes from a central difference along v with the step r / |v| (r = 0.01 in the paper), or
exactly from differentiating twice, at about three times the cost. The network is never copied: its
weights are moved in place and put back from saved tensors bit for bit. Shapes: as in first_order.

On text the virtual step is that of a clipped optimizer, as in the official code of the recurrent
search (quark0/darts f276dd3, rnn/architect.py): g and v are clipped to the weights' limit, and h is
multiplied by the factor that clipped g, because w' moves by so much of g.

DEVIATION: the official code takes the limit over the norm of g for that factor, even where it
exceeds 1 and g is not clipped, and then makes h longer. Here it is at most 1, unless
`text.hvp_scale` is official.

DEVIATION: the official code lets the batch norms' running statistics of the real network take in
the training batch three more times a step. Here the whole alpha step leaves them as they are.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from darts_engine.compute.parallel import Shard, world
from darts_engine.layers.norm import statistics_kept
from darts_engine.methods.architects.first_order import (
    BOTH_WHOLE,
    AlphaGradient,
    FirstOrder,
    Precision,
    Shards,
)
from darts_engine.run.settings.config import AlphaSection
from darts_engine.supernet.relaxed import Batch, Outcome, RelaxedNetwork

Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class VirtualStep:
    """The next step of the weights' optimizer, which alpha's gradient is taken through.

    Args:
        lr: xi.
        momentum: mu.
        weight_decay: lambda.
        buffers: each weight's momentum buffer, None where it has none yet.
        clip: largest L2 norm of g, and of v.
        held: weights that w' has as they are in w (`RelaxedNetwork.held_ahead`).
    """

    lr: float
    momentum: float
    weight_decay: float
    buffers: Sequence[Tensor | None]
    clip: float = math.inf
    held: Sequence[Tensor] = ()

    @classmethod
    def of(
        cls,
        optimizer: torch.optim.Optimizer,
        clip: float = math.inf,
        held: Sequence[Tensor] = (),
    ) -> "VirtualStep":
        """The next step of an SGD optimizer with one group of parameters."""
        (group,) = optimizer.param_groups
        buffers = [optimizer.state[w].get("momentum_buffer") for w in group["params"]]
        return cls(group["lr"], group["momentum"], group["weight_decay"], buffers, clip, held)

    def displacement(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """The step w - w' = xi (mu b + g + lambda w) of each weight.

        Args:
            weights: w.
            gradients: g, clipped if they are to be.
        """
        steps = torch._foreach_add(list(gradients), list(weights), alpha=self.weight_decay)
        for step, buffer in zip(steps, self.buffers, strict=True):
            if buffer is not None:
                step.add_(buffer, alpha=self.momentum)
        torch._foreach_mul_(steps, self.lr)
        held = {id(weight) for weight in self.held}
        for step, weight in zip(steps, weights, strict=True):
            if id(weight) in held:
                step.zero_()
        return list(steps)


@contextmanager
def moved(weights: Sequence[Tensor], by: Sequence[Tensor]) -> Iterator[None]:
    """Inside, `by` is added to the weights in place; afterwards they are as before, bit for bit."""
    saved = torch._foreach_clone([w.detach() for w in weights])
    with torch.no_grad():
        torch._foreach_add_(list(weights), list(by))
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(weights), saved)


def finite_difference(
    train_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    vector: Sequence[Tensor],
    radius: float,
) -> list[Tensor]:
    """The product h by a central difference, (E, O) for each alpha.

    Args:
        train_loss: computes L_train again.
        weights: w.
        alphas: leaf tensors (E, O).
        vector: v, in the shapes of the weights.
        radius: r; both sides are this far away from w.
    """
    norm = torch.stack(torch._foreach_norm(list(vector))).norm()
    # epsilon = r / |v|. Where v is zero the difference is zero, whatever epsilon is.
    epsilon = radius / norm.clamp_min(torch.finfo(norm.dtype).tiny / torch.finfo(norm.dtype).eps)
    offset = torch._foreach_mul(list(vector), epsilon)
    with moved(weights, offset):
        plus = _gradients(train_loss(), alphas)
    with moved(weights, torch._foreach_neg(offset)):
        minus = _gradients(train_loss(), alphas)
    # Eq. 8: (grad_alpha L_train(w+) - grad_alpha L_train(w-)) / (2 epsilon), w+- = w +- epsilon v.
    return [(p - m) / (2 * epsilon) for p, m in zip(plus, minus, strict=True)]


def exact(
    train_loss: Loss, weights: Sequence[Tensor], alphas: Sequence[Tensor], vector: Sequence[Tensor]
) -> list[Tensor]:
    """The product h, (E, O) for each alpha, by differentiating the gradient of L_train."""
    gradients = torch.autograd.grad(
        train_loss(), weights, create_graph=True, materialize_grads=True
    )
    # h = grad_alpha <grad_w L_train(w, alpha), v>
    dots = [(g * v).sum() for g, v in zip(gradients, vector, strict=True)]
    return _gradients(torch.stack(dots).sum(), alphas)


class Unrolled(NamedTuple):
    """The first part of alpha's gradient, and the vector that the second part is taken along.

    Attributes:
        direct: grad_alpha L_valid(w', alpha), (E, O) for each alpha.
        vector: v, in the shapes of the weights.
        coefficient: the limit of g's norm over the norm that it had; 1 without a limit.
    """

    direct: list[Tensor]
    vector: list[Tensor]
    coefficient: Tensor | float = 1.0


def unroll(
    train_loss: Loss,
    valid_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    step: VirtualStep,
) -> Unrolled:
    """grad_alpha L_valid and v = grad_w' L_valid, both at the weights after the virtual step.

    Where several processes share the batches, g and v are summed over them, because weights move
    by them; the rest of alpha's gradient is left as this process's part.

    Args:
        train_loss: computes L_train at the current weights and alphas.
        valid_loss: computes L_valid likewise; called once, at w'.
        weights: leaf tensors, moved in place and restored.
        alphas: leaf tensors (E, O).
        step: the optimizer's next step.
    """
    gradients = _gradients(train_loss(), weights)
    world().sum_(gradients)
    coefficient = clip_(gradients, step.clip)
    with torch.no_grad():
        by = torch._foreach_neg(step.displacement(weights, gradients))
    with moved(weights, by):
        both = _gradients(valid_loss(), [*alphas, *weights])
    vector = both[len(alphas) :]
    world().sum_(vector)
    clip_(vector, step.clip)
    return Unrolled(both[: len(alphas)], vector, coefficient)


def clip_(gradients: list[Tensor], limit: float) -> Tensor | float:
    """Scale gradients in place so that their L2 norm, over all of them, is at most `limit`.

    Returns:
        The limit over the norm, which is the factor where it is below 1; 1 without a limit.
    """
    if math.isinf(limit):
        return 1.0
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    # The small number is that of torch's and the official clipping.
    coefficient: Tensor = limit / (norm + 1e-6)
    torch._foreach_mul_(gradients, coefficient.clamp(max=1))
    return coefficient


def combine(
    direct: Sequence[Tensor], product: Sequence[Tensor], lr: float | Tensor
) -> list[Tensor]:
    """Eq. 7, the gradient of alpha: the direct part minus xi h, (E, O) for each alpha."""
    return [d - lr * h for d, h in zip(direct, product, strict=True)]


def _gradients(loss: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    """Gradients; zeros for what the loss does not depend on."""
    return list(torch.autograd.grad(loss, of, materialize_grads=True))


class Distance(NamedTuple):
    """The error of the finite difference, relative to the exact value (L2 norms over all alphas).

    Attributes:
        product: of h.
        gradient: of alpha's whole gradient.
    """

    product: Tensor
    gradient: Tensor


class SecondOrder(FirstOrder):
    """Computes alpha's gradient through the next step of the weights, and moves alpha by Adam.

    Args:
        supernet: its alphas learn.
        alpha: Adam's settings.
        precision: makes the context that the network computes in, except for h.
        optimizer: SGD on the weights.
        product: how h is computed, "finite-difference" or "exact".
        radius: r of the finite difference.
        clip: largest L2 norm of g and v.
        scales_up: whether the factor that h is multiplied by may exceed 1.
    """

    def __init__(
        self,
        supernet: RelaxedNetwork,
        alpha: AlphaSection,
        precision: Precision,
        *,
        optimizer: torch.optim.Optimizer,
        product: str,
        radius: float,
        clip: float = math.inf,
        scales_up: bool = False,
    ) -> None:
        super().__init__(supernet, alpha, precision)
        self._clip, self._scales_up = clip, scales_up
        self._sgd = optimizer
        self._product = product
        self._radius = radius

    def alpha_gradient(
        self, batch: Batch, weight_batch: Batch, shards: Shards = BOTH_WHOLE
    ) -> AlphaGradient:
        """Alpha's gradient through the weight step on `weight_batch`; nothing else changes.

        Args:
            batch: inputs and labels of the alpha half.
            weight_batch: the batch of the next weight step.
            shards: this process's part of both.
        """
        passes: list[Outcome] = []

        def valid_loss() -> Tensor:
            with self._precision():
                passes.append(self._supernet.loss(batch))
            return shards[0].of(passes[0].loss)

        with statistics_kept(self._supernet):
            step, ahead = self._unroll(valid_loss, weight_batch, shards[1])
            product = self._times_hessian(self._product, ahead.vector, weight_batch, shards[1])
        loss, output = passes[0]
        gradients = combine(ahead.direct, product, self._rate(step, ahead))
        return AlphaGradient(loss.detach(), output.detach(), gradients)

    def distance(self, batch: Batch, weight_batch: Batch, shards: Shards = BOTH_WHOLE) -> Distance:
        """The error of the finite difference in h and in the whole gradient, at these batches."""

        def valid_loss() -> Tensor:
            with self._precision():
                return shards[0].of(self._supernet.loss(batch).loss)

        with statistics_kept(self._supernet):
            step, ahead = self._unroll(valid_loss, weight_batch, shards[1])
            near, true = (
                self._times_hessian(kind, ahead.vector, weight_batch, shards[1])
                for kind in ("finite-difference", "exact")
            )
        world().sum_([*near, *true, *ahead.direct])
        rate = self._rate(step, ahead)
        gradient = combine(ahead.direct, true, rate)
        off = _length([n - t for n, t in zip(near, true, strict=True)])
        return Distance(off / _length(true), rate * off / _length(gradient))

    def _rate(self, step: VirtualStep, ahead: Unrolled) -> float | Tensor:
        """The factor of h in alpha's gradient: xi, and the factor that clipped g."""
        coefficient = ahead.coefficient
        if isinstance(coefficient, Tensor) and not self._scales_up:
            coefficient = coefficient.clamp(max=1)
        return step.lr * coefficient

    def _unroll(
        self, valid_loss: Loss, weight_batch: Batch, shard: Shard
    ) -> tuple[VirtualStep, Unrolled]:
        step = VirtualStep.of(self._sgd, self._clip, self._supernet.held_ahead())

        def train_loss() -> Tensor:
            with self._precision():
                return shard.of(self._supernet.loss(weight_batch).loss)

        return step, unroll(train_loss, valid_loss, self._weights, self._alphas, step)

    def _times_hessian(
        self, kind: str, vector: Sequence[Tensor], weight_batch: Batch, shard: Shard
    ) -> list[Tensor]:
        """The product h, in full precision: a difference of nearly equal numbers needs it."""

        def train_loss() -> Tensor:
            return shard.of(self._supernet.loss(weight_batch).loss)

        if kind == "exact":
            return exact(train_loss, self._weights, self._alphas, vector)
        with self.weights_frozen():
            return finite_difference(train_loss, self._weights, self._alphas, vector, self._radius)


def _length(tensors: Sequence[Tensor]) -> Tensor:
    length: Tensor = torch.stack([t.norm() for t in tensors]).norm()
    return length
