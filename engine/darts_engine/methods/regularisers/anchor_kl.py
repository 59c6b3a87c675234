"""DrNAS's anchor: Chen et al., 2021, arXiv 2006.10355, eq. 6, in the form of its code.

    sum over all edges of KL(Dirichlet(elu(alpha) + 1) || Dirichlet(1, ..., 1))

It keeps the concentrations near 1. The code multiplies the sum by 1e-3 and then gives alpha no
weight decay. Shapes: E edges, O operations.
"""

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from darts_engine.methods.relaxations.dirichlet import concentration
from darts_engine.supernet.mixing import Matrices


def anchor_kl(alphas: Matrices) -> Tensor:
    """The divergence, a scalar; `alphas` has raw (E, O) matrices by cell."""
    each = []
    for alpha in alphas.values():
        beta = concentration(alpha)
        each.append(kl_divergence(Dirichlet(beta), Dirichlet(torch.ones_like(beta))).sum())
    return torch.stack(each).sum()
