"""The zero-one loss, the regulariser of FairDARTS: Chu et al., 2020, arXiv 1911.12126, eq. 6 and 7.

It drives the gates sigmoid(alpha) to 0 or 1. Shapes: E edges, O operations.
"""

import torch
from torch import Tensor

from darts_engine.supernet.mixing import Matrices


def zero_one(alphas: Matrices, form: str = "l2") -> Tensor:
    """The zero-one loss L_01 (eq. 6 and 7), a scalar: least where every gate is 0 or 1.

    Args:
        alphas: raw (E, O) matrices by cell; the mean is over all entries of all cells.
        form: "l2" is -mean (sigmoid(alpha) - 0.5)^2, "l1" is -mean |sigmoid(alpha) - 0.5|.
    """
    off = torch.cat([torch.sigmoid(alpha).reshape(-1) for alpha in alphas.values()]) - 0.5
    return -(off.abs() if form == "l1" else off.square()).mean()
