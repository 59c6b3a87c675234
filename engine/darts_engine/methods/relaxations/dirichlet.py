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
    """Weights drawn from Dirichlet(elu(alpha) + 1)."""

    def mix(self, alphas: Matrices, draws: torch.Generator) -> Mixing:
        """A sample (E, O) by cell."""
        return Mixing({cell: _draw(_concentration(a), draws) for cell, a in alphas.items()})

    def expected(self, alphas: Matrices) -> dict[str, Tensor]:
        """The distribution's mean, (E, O) by cell: beta_o / sum_p beta_p."""
        out = {}
        for cell, alpha in alphas.items():
            concentration = _concentration(alpha)
            out[cell] = concentration / concentration.sum(-1, keepdim=True)
        return out


def _concentration(alpha: Tensor) -> Tensor:
    return functional.elu(alpha) + 1 + SMALLEST


def _draw(concentration: Tensor, draws: torch.Generator) -> Tensor:
    """A Dirichlet sample (E, O) from a generator, which `torch.distributions` does not take."""
    drawn = torch._sample_dirichlet(concentration.detach().cpu().double(), generator=draws)
    sample = drawn.clamp_min(torch.finfo(concentration.dtype).tiny)
    reparametrised: Tensor = _Reparametrised.apply(concentration, sample.to(concentration))
    return reparametrised


class _Reparametrised(torch.autograd.Function):
    """The sample in the forward pass; d sample / d concentration in the backward pass."""

    @staticmethod
    def forward(ctx: object, concentration: Tensor, sample: Tensor) -> Tensor:
        ctx.save_for_backward(sample, concentration)  # type: ignore[attr-defined]
        return sample

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> tuple[Tensor, None]:
        sample, concentration = ctx.saved_tensors  # type: ignore[attr-defined]
        total = concentration.sum(-1, keepdim=True).expand_as(concentration)
        slope = torch._dirichlet_grad(sample, concentration, total)
        inner = grads[0] - (sample * grads[0]).sum(-1, keepdim=True)
        return slope * inner, None
