"""Curvature in alpha against matrices that are known."""

import pytest
import torch

from darts_engine.compute import streams
from darts_engine.optim.loss import cross_entropy
from darts_engine.search.curvature import Curvature, hessian, spectrum
from darts_engine.supernet.supernet import Supernet


def draws() -> torch.Generator:
    return streams.generator(0, "test")


def a_quadratic(eigenvalues: list[float]):
    """A loss whose Hessian has the eigenvalues, and its two alphas."""
    size = len(eigenvalues)
    basis = torch.linalg.qr(torch.randn(size, size, generator=draws()).double())[0]
    matrix = basis @ torch.diag(torch.tensor(eigenvalues).double()) @ basis.T
    alphas = [torch.randn(2, 3).double().requires_grad_(), torch.randn(size - 6).double()]
    alphas[1].requires_grad_()

    def loss() -> torch.Tensor:
        x = torch.cat([a.reshape(-1) for a in alphas])
        return x @ matrix @ x / 2

    return loss, alphas, matrix


EIGENVALUES = [-9.0, -1.0, -0.5, 0.0, 0.1, 0.2, 0.4, 1.0, 2.0, 3.5]


def test_the_hessian_of_a_quadratic_is_its_matrix():
    loss, alphas, matrix = a_quadratic(EIGENVALUES)
    found = hessian(loss, alphas)
    assert torch.allclose(found, matrix, atol=1e-10)
    assert torch.allclose(spectrum(found), torch.tensor(EIGENVALUES).double(), atol=1e-10)


def test_lanczos_finds_the_largest_signed_eigenvalue_not_the_largest():
    loss, alphas, _ = a_quadratic(EIGENVALUES)
    assert Curvature(loss, alphas).dominant(draws(), tolerance=1e-12) == pytest.approx(3.5)


@pytest.mark.slow
def test_both_agree_on_a_supernet():
    torch.manual_seed(0)
    supernet = Supernet(nodes=2, channels=2, layers=3, in_channels=1, classes=4).double()
    images, labels = torch.randn(8, 1, 8, 8).double(), torch.arange(8) % 4
    alphas = list(supernet.alphas.parameters())
    supernet.train()

    def loss() -> torch.Tensor:
        return cross_entropy(supernet(images), labels)

    exact = float(spectrum(hessian(loss, alphas))[-1])
    lanczos = Curvature(loss, alphas).dominant(draws(), tolerance=1e-8)
    assert lanczos == pytest.approx(exact, rel=1e-3)
