"""The axis "perturbation": what the weights see instead of alpha's mixing during their own step.

SmoothDARTS (Chen and Hsieh, 2020, arXiv 2002.05283) perturbs the mixing weights, not the logits:
softmax(alpha) is moved within a box of radius epsilon and put back onto the simplex; the weight
step computes with that; alpha itself stays as it is. MS-DARTS's mean shift is in mean_shift.py.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.methods.perturbations.simplex import clipped
from darts_engine.supernet.mixing import Matrices


class Objective:
    """The loss of mixing weights on one batch, the network in evaluation mode.

    Args:
        loss: of (E, O) weights by cell.
        combine: makes a process's part the whole of all processes', in place.
    """

    def __init__(
        self,
        loss: Callable[[Matrices], Tensor],
        combine: Callable[[Sequence[Tensor]], None] | None = None,
    ) -> None:
        self._loss, self._combine = loss, combine

    def value(self, weights: Matrices) -> Tensor:
        """The loss, a scalar."""
        with torch.no_grad():
            loss = self._loss(weights).clone()
        if self._combine:
            self._combine([loss])
        return loss

    def gradient(self, weights: Matrices) -> dict[str, Tensor]:
        """The loss's gradient in the weights."""
        leaves = {cell: w.detach().requires_grad_() for cell, w in weights.items()}
        gradients = torch.autograd.grad(self._loss(leaves), list(leaves.values()))
        if self._combine:
            self._combine(gradients)
        return dict(zip(leaves, gradients, strict=True))


class Losses(NamedTuple):
    """What a perturbation may ask of a step's two batches."""

    train: Objective
    valid: Objective


class Perturbation(Protocol):
    """Moves mixing weights within a radius."""

    def radius(self, epoch: int, epochs: int) -> float:
        """Epsilon in an epoch (from 1)."""

    def perturb(
        self, weights: Matrices, losses: Losses, radius: float, draws: torch.Generator
    ) -> dict[str, Tensor]:
        """Other weights (E, O) near these; no gradient reaches alpha."""


class Random:
    """SDARTS-RS: uniform noise.

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
        losses: Losses,  # noqa: ARG002  it looks at no loss
        radius: float,
        draws: torch.Generator,
    ) -> dict[str, Tensor]:
        """Weights plus uniform noise in [-radius, radius], on the simplex."""
        return {cell: clipped(w + noise(w, radius, draws)) for cell, w in weights.items()}


class Adversarial(Random):
    """SDARTS-ADV: the worst weights in the box for the training loss, by projected ascent.

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
        """The ascent's end, or the given weights should it have lowered the loss.

        The box is applied before the simplex, as published: scaling a row back to sum 1 may take
        it out of the box a little.
        """
        clean = {cell: w.detach() for cell, w in weights.items()}
        before = losses.train.value(clean)
        moved = {cell: clipped(w + noise(w, radius, draws)) for cell, w in clean.items()}
        for _ in range(self._steps):
            slope = losses.train.gradient(moved)
            for cell, w in moved.items():
                stepped = w + 2 * radius / self._steps * slope[cell].sign()
                boxed = clean[cell] + (stepped - clean[cell]).clamp(-radius, radius)
                moved[cell] = clipped(boxed)
        is_worse = losses.train.value(moved) >= before
        return {cell: torch.where(is_worse, w, clean[cell]) for cell, w in moved.items()}


def noise(like: Tensor, radius: float, draws: torch.Generator) -> Tensor:
    """Uniform noise in [-radius, radius] of a tensor's shape, drawn on the CPU."""
    uniform = torch.rand(like.shape, generator=draws, dtype=torch.float64)
    return devices.send(((2 * uniform - 1) * radius).to(like.dtype), like.device)
