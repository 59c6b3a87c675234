"""SmoothDARTS: the weight step computes with perturbed mixing weights.

Chen and Hsieh, 2020, arXiv 2002.05283. The mixing weights A = softmax(alpha) are perturbed, not
alpha: A is moved within a box of radius epsilon and put back onto the simplex. Alpha stays as it
is.

    SDARTS-RS   A + U(-epsilon, epsilon)
    SDARTS-ADV  argmax L_train(w, A + delta), |delta|_inf <= epsilon

Shapes: E edges, O operations.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.methods.perturbations.simplex import clipped
from darts_engine.supernet.mixing import Matrices


class Objective:
    """The loss on one batch as a function of the mixing weights, the network in evaluation mode.

    Args:
        loss: from (E, O) weights by cell to this process's part of the loss.
        combine: sums tensors over all processes, in place.
    """

    def __init__(
        self,
        loss: Callable[[Matrices], Tensor],
        combine: Callable[[Sequence[Tensor]], None] | None = None,
    ) -> None:
        self._loss, self._combine = loss, combine

    def value(self, weights: Matrices) -> Tensor:
        """The loss at (E, O) weights by cell, a scalar."""
        with torch.no_grad():
            loss = self._loss(weights).clone()
        if self._combine:
            self._combine([loss])
        return loss

    def gradient(self, weights: Matrices) -> dict[str, Tensor]:
        """The gradient of the loss in the weights, (E, O) by cell."""
        leaves = {cell: w.detach().requires_grad_() for cell, w in weights.items()}
        gradients = torch.autograd.grad(self._loss(leaves), list(leaves.values()))
        if self._combine:
            self._combine(gradients)
        return dict(zip(leaves, gradients, strict=True))


class Losses(NamedTuple):
    """The loss on each batch of a step: the weight half's and the alpha half's."""

    train: Objective
    valid: Objective


class Perturbation(Protocol):
    """Perturbs mixing weights within a radius."""

    def radius(self, epoch: int, epochs: int) -> float:
        """Epsilon in an epoch (from 1)."""

    def perturb(
        self, weights: Matrices, losses: Losses, radius: float, draws: torch.Generator
    ) -> dict[str, Tensor]:
        """Perturbed mixing weights; no gradient reaches alpha.

        Args:
            weights: (E, O) by cell.
            losses: on the step's batches.
            radius: epsilon of the epoch.
            draws: a CPU generator.

        Returns:
            (E, O) by cell.
        """


class Random:
    """SDARTS-RS: random smoothing with uniform noise.

    Args:
        start: epsilon at the search's beginning.
        end: epsilon that its end approaches.
    """

    def __init__(self, start: float, end: float) -> None:
        self._start, self._end = start, end

    def radius(self, epoch: int, epochs: int) -> float:
        """Linear: start + (end - start) e / E, e from 0."""
        return self._start + (self._end - self._start) * (epoch - 1) / epochs

    def perturb(
        self,
        weights: Matrices,
        losses: Losses,  # noqa: ARG002  it needs no loss
        radius: float,
        draws: torch.Generator,
    ) -> dict[str, Tensor]:
        """Weights plus uniform noise in [-radius, radius], on the simplex."""
        return {cell: clipped(w + noise(w, radius, draws)) for cell, w in weights.items()}


class Adversarial(Random):
    """SDARTS-ADV: the mixing weights in the box with the largest training loss, by sign ascent.

    Args:
        start: epsilon at the search's beginning.
        end: epsilon that its end approaches.
        steps: steps of sign ascent, each 2 epsilon / steps long.
    """

    def __init__(self, start: float, end: float, steps: int) -> None:
        super().__init__(start, end)
        self._steps = steps

    def perturb(
        self, weights: Matrices, losses: Losses, radius: float, draws: torch.Generator
    ) -> dict[str, Tensor]:
        """The result of the ascent, or the given weights where it lowered the loss.

        The box is applied before the simplex, as published: scaling a row back to sum 1 may take
        it out of the box a little.
        """
        unmoved = {cell: w.detach() for cell, w in weights.items()}
        before = losses.train.value(unmoved)
        moved = {cell: clipped(w + noise(w, radius, draws)) for cell, w in unmoved.items()}
        for _ in range(self._steps):
            slope = losses.train.gradient(moved)
            for cell, w in moved.items():
                # delta <- clip(delta + 2 epsilon / steps sign(grad_A L_train), -epsilon, epsilon)
                stepped = w + 2 * radius / self._steps * slope[cell].sign()
                boxed = unmoved[cell] + (stepped - unmoved[cell]).clamp(-radius, radius)
                moved[cell] = clipped(boxed)
        is_worse = losses.train.value(moved) >= before
        return {cell: torch.where(is_worse, w, unmoved[cell]) for cell, w in moved.items()}


def noise(like: Tensor, radius: float, draws: torch.Generator) -> Tensor:
    """Uniform noise in [-radius, radius] of a tensor's shape, drawn on the CPU."""
    uniform = torch.rand(like.shape, generator=draws, dtype=torch.float64)
    return devices.send(((2 * uniform - 1) * radius).to(like.dtype), like.device)
