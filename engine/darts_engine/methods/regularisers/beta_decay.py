"""Beta decay, the regulariser of Beta-DARTS: Ye et al., 2022, arXiv 2203.01665, eq. 11.

    term = mean over all edges of log sum_o exp(alpha_o)

It keeps the softmax's logits from growing. Its factor grows linearly over the search
(`axes.regulariser_weight`). Shapes: E edges, O operations.
"""

import torch
from torch import Tensor

from darts_engine.supernet.mixing import Matrices


def beta_decay(alphas: Matrices) -> Tensor:
    """The mean over the edges of all cells of logsumexp over the operations, a scalar.

    Args:
        alphas: raw (E, O) matrices by cell.
    """
    return torch.cat([torch.logsumexp(alpha, dim=-1) for alpha in alphas.values()]).mean()
