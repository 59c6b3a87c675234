"""Sharpness-aware minimisation: Foret et al., 2021, arXiv 2010.01412.

A step takes the gradient not at the weights w but at w + e, where e of length rho points uphill:
e = rho g / |g| for the gradient g at w. The adaptive form (Kwon et al., ASAM, 2021, arXiv
2102.11600, eq. 7) measures lengths in units of the weights: e = rho w^2 g / | |w| g |. All products
are by element, |.| is the length over all weights together.

`training.task.Train` does the two passes; here the weights are moved to w + e and back.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# As in the code published for PyTorch; against a division by zero where the gradient is zero.
TINY = 1e-12


@contextmanager
def perturbed(weights: Iterable[nn.Parameter], rho: float, *, adaptive: bool) -> Iterator[None]:
    """Inside, the weights are w + e; afterwards they are w again, to the bit.

    Args:
        weights: all weights of the network; those without a gradient stay where they are.
        rho: L2 length of e; in the adaptive form, of e / |w|.
        adaptive: whether lengths are in units of the weights.
    """
    with_gradient = [weight for weight in weights if weight.grad is not None]
    moved: list[Tensor] = [weight.detach() for weight in with_gradient]
    kept = [weight.clone() for weight in moved]
    gradients = [weight.grad for weight in with_gradient if weight.grad is not None]
    for weight, step in zip(moved, ascent(gradients, kept, rho, adaptive=adaptive), strict=True):
        weight.add_(step)
    try:
        yield
    finally:
        torch._foreach_copy_(moved, kept)


@torch.no_grad()
def ascent(
    gradients: list[Tensor], weights: list[Tensor], rho: float, *, adaptive: bool
) -> tuple[Tensor, ...]:
    """The step e for each weight, in its shape; arguments as of `perturbed`."""
    if not gradients:
        return ()
    if not adaptive:
        # e = rho g / |g|
        return torch._foreach_mul(gradients, rho / (_length(gradients) + TINY))
    # Eq. 7: e = rho w^2 g / | |w| g |
    sizes = torch._foreach_abs(weights)
    scaled = torch._foreach_mul(sizes, gradients)
    steps = torch._foreach_mul(sizes, scaled)
    return torch._foreach_mul(steps, rho / (_length(scaled) + TINY))


def _length(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """The L2 norm over all entries of all tensors, a scalar on the device."""
    return torch.nn.utils.get_total_norm(tensors)
