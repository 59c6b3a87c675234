"""Pooling of few channels, against the library's."""

import pytest
import torch
from torch.nn import functional

from darts_engine.layers import pooling

DOUBLE = torch.float64


@pytest.mark.parametrize("size", [(5, 7), (1, 3), (2, 2), (1, 1)])
@pytest.mark.parametrize("kind", ["maximum", "mean"])
def test_values_and_gradients_are_the_librarys(kind, size):
    """Ties included: most of the values are equal to a neighbour's."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randint(-1, 2, (6, 3, *size), generator=draws).to(DOUBLE)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    if kind == "maximum":
        ours, theirs = pooling.maximum(x), functional.max_pool2d(x, 3, 1, 1)
    else:
        ours = pooling.mean(x)
        theirs = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    grad = torch.randn(ours.shape, generator=draws, dtype=DOUBLE)
    for mine, other in zip(
        [ours, *torch.autograd.grad(ours, x, grad)],
        [theirs, *torch.autograd.grad(theirs, x, grad)],
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
        if kind == "maximum":
            assert torch.equal(mine, other)


@pytest.mark.parametrize("pool", [pooling.maximum, pooling.mean])
def test_gradients_can_be_differentiated_again(pool):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 3, dtype=DOUBLE).contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradgradcheck(pool, (x.requires_grad_(),))


def test_it_pays_for_large_maps_of_few_channels_in_channels_last_memory():
    large = torch.zeros(16, 4, 32, 32)
    assert pooling.is_faster(large.contiguous(memory_format=torch.channels_last))
    assert not pooling.is_faster(large)
    for shape in [(2, 4, 32, 32), (16, 8, 32, 32)]:
        assert not pooling.is_faster(
            torch.zeros(shape).contiguous(memory_format=torch.channels_last)
        )
