"""DARTS's relaxation: softmax. Liu et al., 2019, arXiv 1806.09055, eq. 2.

    weight_o = exp(alpha_o) / sum_p exp(alpha_p), for each edge

`Relaxation` is what all relaxations have in common. Shapes: E edges, O operations.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.supernet.mixing import Matrices, Mixing


class Relaxation(ABC):
    """Turns raw (E, O) alphas into (E, O) mixing weights.

    By default there is no schedule, and nothing is sampled.
    """

    def schedule(self, epoch: int, epochs: int) -> dict[str, float]:  # noqa: ARG002
        """The values of its schedules in an epoch (from 1) by name."""
        return {}

    def begin_epoch(self, epoch: int, epochs: int) -> None:  # noqa: B027  most have nothing to set
        """Set the schedules' values of an epoch (from 1)."""

    def mix(self, alphas: Matrices, draws: torch.Generator) -> Mixing:  # noqa: ARG002  no samples
        """The mixing of a step; gradients reach alpha.

        Args:
            alphas: raw (E, O) matrices by cell.
            draws: a CPU generator.
        """
        return Mixing(self.expected(alphas))

    def validated(self, alphas: Matrices) -> Mixing:
        """The mixing of validation: the expected weights."""
        return Mixing(self.expected(alphas))

    @abstractmethod
    def expected(self, alphas: Matrices) -> dict[str, Tensor]:
        """The mean mixing weights, (E, O) by cell."""

    def strengths(self, alphas: Matrices) -> dict[str, Tensor]:
        """What is shown and derived from, (E, O) by cell: the mean mixing weights."""
        return self.expected(alphas)


class Softmax(Relaxation):
    """softmax(alpha) over the operations."""

    def expected(self, alphas: Matrices) -> dict[str, Tensor]:
        """softmax(alpha), (E, O) by cell."""
        return {cell: functional.softmax(alpha, dim=-1) for cell, alpha in alphas.items()}
