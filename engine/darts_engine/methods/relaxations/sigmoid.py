"""FairDARTS's relaxation and regulariser: Chu et al., 2020, arXiv 1911.12126.

Each operation has a gate of its own, sigmoid(alpha), so that operations do not compete. The
zero-one loss drives the gates to 0 or 1. Shapes: E edges, O operations.
"""

import torch
from torch import Tensor

from darts_engine.methods.relaxations.softmax import Relaxation
from darts_engine.supernet.mixing import Matrices


class Sigmoid(Relaxation):
    """sigmoid(alpha): independent gates in (0, 1)."""

    def expected(self, alphas: Matrices) -> dict[str, Tensor]:
        """sigmoid(alpha), (E, O) by cell."""
        return {cell: torch.sigmoid(alpha) for cell, alpha in alphas.items()}


def zero_one(alphas: Matrices, form: str = "l2") -> Tensor:
    """The zero-one loss L_01 (eq. 6 and 7), a scalar: least where every gate is 0 or 1.

    Args:
        alphas: raw (E, O) matrices by cell; the mean is over all entries of all cells.
        form: "l2" is -mean (sigmoid(alpha) - 0.5)^2, "l1" is -mean |sigmoid(alpha) - 0.5|.
    """
    off = torch.cat([torch.sigmoid(alpha).reshape(-1) for alpha in alphas.values()]) - 0.5
    return -(off.abs() if form == "l1" else off.square()).mean()
