"""DrNAS's relaxation: Chen et al., 2021, arXiv 2006.10355, section 3.1.

    weights of an edge ~ Dirichlet(beta), beta = elu(alpha) + 1

The sample is differentiable in alpha (implicit reparametrisation). Shapes: E edges, O operations.
"""

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.methods.relaxations.softmax import Relaxation
from darts_engine.supernet.mixing import Matrices, Mixing

# Added to beta, which must be above 0.
SMALLEST = 1e-7


class Dirichlet(Relaxation):
    """Weights drawn from Dirichlet(elu(alpha) + 1).

    Args:
        ranks_by_mean: derive from the distribution's mean instead of softmax(alpha). Both name the
            same operation of an edge, but rank edges differently.
    """

    def __init__(self, *, ranks_by_mean: bool = False) -> None:
        self._ranks_by_mean = ranks_by_mean

    def mix(self, alphas: Matrices, draws: torch.Generator) -> Mixing:
        """A sample (E, O) by cell."""
        return Mixing({cell: _draw(concentration(a), draws) for cell, a in alphas.items()})

    def expected(self, alphas: Matrices) -> dict[str, Tensor]:
        """The distribution's mean, (E, O) by cell: beta_o / sum_p beta_p."""
        out = {}
        for cell, alpha in alphas.items():
            beta = concentration(alpha)
            out[cell] = beta / beta.sum(-1, keepdim=True)
        return out

    def strengths(self, alphas: Matrices) -> dict[str, Tensor]:
        """softmax(alpha), (E, O) by cell, as in the official code; or the mean."""
        if self._ranks_by_mean:
            return self.expected(alphas)
        return {cell: functional.softmax(alpha, dim=-1) for cell, alpha in alphas.items()}


def concentration(alpha: Tensor) -> Tensor:
    """Beta of raw alphas (E, O), each above 0."""
    return functional.elu(alpha) + 1 + SMALLEST


def _draw(beta: Tensor, draws: torch.Generator) -> Tensor:
    """A Dirichlet sample (E, O) from a generator, which `torch.distributions` does not take."""
    drawn = torch._sample_dirichlet(beta.detach().cpu().double(), generator=draws)
    sample = drawn.clamp_min(torch.finfo(beta.dtype).tiny)
    reparametrised: Tensor = _Reparametrised.apply(beta, sample.to(beta))
    return reparametrised


class _Reparametrised(torch.autograd.Function):
    """The sample in the forward pass; d sample / d beta in the backward pass."""

    @staticmethod
    def forward(ctx: object, beta: Tensor, sample: Tensor) -> Tensor:
        ctx.save_for_backward(sample, beta)  # type: ignore[attr-defined]
        return sample

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> tuple[Tensor, None]:
        sample, beta = ctx.saved_tensors  # type: ignore[attr-defined]
        total = beta.sum(-1, keepdim=True).expand_as(beta)
        slope = torch._dirichlet_grad(sample, beta, total)
        inner = grads[0] - (sample * grads[0]).sum(-1, keepdim=True)
        return slope * inner, None
