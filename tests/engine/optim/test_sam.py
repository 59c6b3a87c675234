"""Sharpness-aware minimisation against steps worked out by hand."""

import pytest
import torch
from torch import nn

from darts_engine.layers.norm import statistics_kept
from darts_engine.networks.derived import Network
from darts_engine.optim.sam import perturbed
from darts_engine.run.architecture import text as genotypes

CURVATURE = torch.tensor([1.0, 4.0], dtype=torch.float64)


def quadratic(weights):
    """L(w) = 1/2 sum h w^2, whose gradient is h w."""
    return (CURVATURE * weights.square()).sum() / 2


def test_a_step_on_a_quadratic_is_the_one_worked_out_by_hand():
    weights = nn.Parameter(torch.tensor([3.0, 1.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([weights], lr=0.5)
    quadratic(weights).backward()
    # g = (3, 4), |g| = 5, so with rho 0.5 e = (0.3, 0.4) and the gradient there is (3.3, 5.6).
    with perturbed([weights], 0.5, adaptive=False):
        assert weights.tolist() == pytest.approx([3.3, 1.4], rel=1e-12)
        optimizer.zero_grad()
        quadratic(weights).backward()
    assert weights.tolist() == [3.0, 1.0]
    optimizer.step()
    assert weights.tolist() == pytest.approx([3.0 - 0.5 * 3.3, 1.0 - 0.5 * 5.6], rel=1e-12)


def test_the_adaptive_step_is_measured_in_units_of_the_weights():
    weights = nn.Parameter(torch.tensor([3.0, -1.0], dtype=torch.float64))
    quadratic(weights).backward()
    # g = (3, -4), |w| g = (9, -4), of length 97^(1/2); e = rho w^2 g over it = rho (27, -4) / ...
    expected = [3.0 + 2 * 27 / 97**0.5, -1.0 - 2 * 4 / 97**0.5]
    with perturbed([weights], 2.0, adaptive=True):
        assert weights.tolist() == pytest.approx(expected, rel=1e-12)
    assert weights.tolist() == [3.0, -1.0]


def test_the_length_is_over_all_weights_together():
    weights = [nn.Parameter(torch.tensor([value])) for value in (1.0, 2.0, 5.0)]
    for weight, gradient in zip(weights[:2], (3.0, 4.0), strict=True):
        weight.grad = torch.tensor([gradient])
    with perturbed(weights, 1.0, adaptive=False):
        assert [w.item() for w in weights] == pytest.approx([1.6, 2.8, 5.0])


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_gradient_of_zero_moves_nothing(adaptive):
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.zeros(2)
    with perturbed([weight], 1.0, adaptive=adaptive):
        assert weight.tolist() == [1.0, 1.0]


def test_weights_are_back_to_the_bit_even_after_an_error():
    weight = nn.Parameter(torch.randn(50) / 3)
    weight.grad = torch.randn(50)
    before = weight.detach().clone()
    with pytest.raises(ZeroDivisionError), perturbed([weight], 0.37, adaptive=True):
        1 / 0  # noqa: B018
    assert torch.equal(weight, before)


def small_network():
    genotype = genotypes.published()["DARTS_V2"].genotype
    return Network(genotype, channels=4, layers=3, in_channels=1, seed=1).double().train()


def loss_of(network, images, labels):
    logits, auxiliary = network(images)
    loss = nn.functional.cross_entropy(logits, labels)
    return loss + 0.4 * nn.functional.cross_entropy(auxiliary, labels)


def test_a_network_s_step_follows_the_definition_and_counts_one_clean_pass():
    images = torch.randn(8, 1, 8, 8, dtype=torch.float64)
    labels = torch.arange(8) % 4
    ours, plain, clean = small_network(), small_network(), small_network()
    rho = 0.05

    loss_of(ours, images, labels).backward()
    with perturbed(ours.parameters(), rho, adaptive=False), statistics_kept(ours):
        ours.zero_grad()
        loss_of(ours, images, labels).backward()

    first = torch.autograd.grad(loss_of(plain, images, labels), list(plain.parameters()))
    length = torch.cat([g.flatten() for g in first]).norm()
    with torch.no_grad():
        for weight, gradient in zip(plain.parameters(), first, strict=True):
            weight.add_(gradient, alpha=rho / length.item())
    second = torch.autograd.grad(loss_of(plain, images, labels), list(plain.parameters()))
    for weight, expected in zip(ours.parameters(), second, strict=True):
        assert torch.allclose(weight.grad, expected, rtol=1e-9, atol=1e-12)

    loss_of(clean, images, labels)
    for name, buffer in clean.named_buffers():
        assert torch.equal(buffer, ours.get_buffer(name)), name
