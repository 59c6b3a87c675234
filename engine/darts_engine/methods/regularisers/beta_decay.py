"""Beta-DARTS's regulariser: Ye et al., 2022, arXiv 2203.01665, eq. 11.

The mean over all edges of logsumexp(alpha) keeps the softmax's logits from growing; its weight
grows linearly over the search.
"""

import torch
from torch import Tensor

from darts_engine.supernet.mixing import Matrices


def beta_decay(alphas: Matrices) -> Tensor:
    """Mean over the edges of all cells of logsumexp over the operations."""
    return torch.cat([torch.logsumexp(alpha, dim=-1) for alpha in alphas.values()]).mean()
