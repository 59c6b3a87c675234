"""The curvature of the validation loss in alpha: Zela et al., 2020, arXiv 1909.09656, section 3.

A flat minimum survives discretisation, and the dominant eigenvalue of the Hessian measures how
sharp a minimum is. Dominant is the largest signed eigenvalue, as in the paper's code, not the
largest in magnitude. Shapes: n entries of all alphas together.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Loss = Callable[[], Tensor]


def hessian(loss: Loss, alphas: Sequence[Tensor]) -> Tensor:
    """The full Hessian of `loss` in all entries of the alphas, (n, n), by double backward.

    Args:
        loss: computes the scalar again; everything but the alphas is constant.
        alphas: leaf tensors, flattened and put one after another.
    """
    gradients = torch.autograd.grad(loss(), alphas, create_graph=True, materialize_grads=True)
    flat = torch.cat([g.reshape(-1) for g in gradients])
    rows = []
    for entry in flat:
        row = torch.autograd.grad(entry, alphas, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([r.reshape(-1) for r in row]))
    matrix = torch.stack(rows).detach()
    # Rounding leaves it a little asymmetric.
    return (matrix + matrix.T) / 2


def eigenvectors(matrix: Tensor, count: int) -> Tensor:
    """The unit eigenvectors (count, n) of a symmetric (n, n) matrix, largest eigenvalue first."""
    vectors: Tensor = torch.linalg.eigh(matrix.double().cpu())[1]
    return vectors.T.flip(0)[:count]


def orthonormal(count: int, size: int, draws: torch.Generator) -> Tensor:
    """Random orthonormal directions (count, size) in float64."""
    drawn = torch.randn(size, count, generator=draws, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(drawn)[0]
    return basis.T


def spectrum(matrix: Tensor) -> Tensor:
    """All eigenvalues (n,) of a symmetric (n, n) matrix, ascending, in float64."""
    eigenvalues: Tensor = torch.linalg.eigvalsh(matrix.double().cpu())
    return eigenvalues


class Curvature:
    """Products with the Hessian, from one gradient that is recorded with its graph.

    Args:
        loss: computes the scalar; everything but the alphas is constant.
        alphas: leaf tensors.
    """

    def __init__(self, loss: Loss, alphas: Sequence[Tensor]) -> None:
        self._alphas = alphas
        gradients = torch.autograd.grad(loss(), alphas, create_graph=True, materialize_grads=True)
        self._flat = torch.cat([g.reshape(-1) for g in gradients])

    def times(self, vector: Tensor) -> Tensor:
        """The product H v, (n,), with a vector (n,)."""
        row = torch.autograd.grad(
            self._flat, self._alphas, vector, retain_graph=True, materialize_grads=True
        )
        return torch.cat([r.reshape(-1) for r in row]).detach()

    def dominant(self, draws: torch.Generator, most: int = 30, tolerance: float = 1e-4) -> float:
        """The largest signed eigenvalue, by Lanczos' method with full reorthogonalisation.

        Args:
            draws: of the first direction.
            most: products with the Hessian at most.
            tolerance: stop when the estimate changes by less than this part of itself.
        """
        size = self._flat.numel()
        start = torch.randn(size, generator=draws).to(self._flat)
        basis = [start / start.norm()]
        diagonal: list[Tensor] = []
        off_diagonal: list[Tensor] = []
        estimate = 0.0
        for step in range(min(most, size)):
            product = self.times(basis[-1])
            diagonal.append(basis[-1] @ product)
            spanned = torch.stack(basis)
            for _ in range(2):
                product = product - spanned.T @ (spanned @ product)
            before, estimate = estimate, _largest(diagonal, off_diagonal)
            length = product.norm()
            if float(length) < 1e-10 * max(1.0, abs(estimate)):
                break
            if step and abs(estimate - before) <= tolerance * abs(estimate):
                break
            off_diagonal.append(length)
            basis.append(product / length)
        return estimate


def _largest(diagonal: Sequence[Tensor], off_diagonal: Sequence[Tensor]) -> float:
    """The largest eigenvalue of a symmetric tridiagonal matrix, given by its two diagonals."""
    matrix = torch.diag(torch.stack(list(diagonal)).double().cpu())
    for place, value in enumerate(off_diagonal[: len(diagonal) - 1]):
        matrix[place, place + 1] = matrix[place + 1, place] = float(value)
    return float(torch.linalg.eigvalsh(matrix)[-1])
