"""The axis "relaxation": how alpha becomes the weights that mix the operations.

Softmax is DARTS's (Liu et al., 2019, arXiv 1806.09055, eq. 2). The others are in files of their
own: sigmoid.py, gumbel.py, dirichlet.py.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.supernet.mixing import Matrices, Mixing


class Relaxation(ABC):
    """Turns raw (E, O) alphas into mixing weights; without a schedule unless it has one."""

    def schedule(self, epoch: int, epochs: int) -> dict[str, float]:  # noqa: ARG002
        """The values of an epoch (from 1) by name."""
        return {}

    def begin_epoch(self, epoch: int, epochs: int) -> None:  # noqa: B027  most have nothing to set
        """Set what changes by epoch."""

    def mix(self, alphas: Matrices, draws: torch.Generator) -> Mixing:  # noqa: ARG002  no chance
        """What a step computes with; `draws` is a CPU generator. Gradients reach alpha."""
        return Mixing(self.expected(alphas))

    def validated(self, alphas: Matrices) -> Mixing:
        """What validation computes with: the expected weights."""
        return Mixing(self.expected(alphas))

    @abstractmethod
    def expected(self, alphas: Matrices) -> dict[str, Tensor]:
        """The weights without chance: what is shown and derived from."""


class Softmax(Relaxation):
    """softmax(alpha) over the operations."""

    def expected(self, alphas: Matrices) -> dict[str, Tensor]:
        """softmax(alpha)."""
        return {cell: functional.softmax(alpha, dim=-1) for cell, alpha in alphas.items()}
