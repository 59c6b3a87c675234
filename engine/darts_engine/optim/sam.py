"""Sharpness-aware minimisation: Foret et al., 2021, arXiv 2010.01412.

A step takes the gradient not at the weights w but at w + e, where e of length rho points uphill:
e = rho g / |g| for the gradient g at w. The adaptive form (Kwon et al., ASAM, 2021, arXiv
2102.11600, eq. 7) measures lengths in units of the weights: e = rho w^2 g / | |w| g |. All products
are by element, |.| is the length over all weights together.

The trainer does the two passes; here is the way up and back down.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# As in the code published for PyTorch; keeps a gradient of exactly zero from a division by zero.
TINY = 1e-12


@contextmanager
def perturbed(weights: Iterable[nn.Parameter], rho: float, *, adaptive: bool) -> Iterator[None]:
    """Inside, the weights are w + e; afterwards they are w again, to the bit.

    Args:
        weights: all weights of the network; those without a gradient stay where they are.
        rho: length of e; in the adaptive form, of e / |w|.
        adaptive: whether lengths are in units of the weights.
    """
    moved = [weight for weight in weights if weight.grad is not None]
    kept = [weight.detach().clone() for weight in moved]
    steps = ascent([w.grad for w in moved if w.grad is not None], kept, rho, adaptive=adaptive)
    with torch.no_grad():
        torch._foreach_add_(moved, steps)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(moved, kept)


@torch.no_grad()
def ascent(
    gradients: list[Tensor], weights: list[Tensor], rho: float, *, adaptive: bool
) -> list[Tensor]:
    """The step e for each weight, in its shape."""
    if not gradients:
        return []
    scaled = gradients
    if adaptive:
        scaled = torch._foreach_mul(torch._foreach_abs(weights), gradients)
    length = torch.nn.utils.get_total_norm(scaled)
    steps = scaled
    if adaptive:
        steps = torch._foreach_mul(torch._foreach_abs(weights), scaled)
    return list(torch._foreach_mul(steps, rho / (length + TINY)))
