"""The relaxation of FairDARTS: Chu et al., 2020, arXiv 1911.12126.

Each operation has a gate of its own, sigmoid(alpha), so that operations do not compete. Shapes:
E edges, O operations.
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
