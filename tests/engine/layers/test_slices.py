"""Parts of maps: the numbers of a plain slice, and gradients in the order of memory."""

import pytest
import torch
from torch.nn import functional

from darts_engine.layers.operations import FactorizedReduce
from darts_engine.layers.slices import every_other, split_channels

MEMORIES = [torch.contiguous_format, torch.channels_last]


def a_map(memory: torch.memory_format, *shape: int) -> torch.Tensor:
    x = torch.randn(shape, dtype=torch.float64).contiguous(memory_format=memory)
    return x.requires_grad_()


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
@pytest.mark.parametrize("first", [0, 1])
def test_every_other_pixel(memory, size, first):
    x = a_map(memory, 3, 4, *size)
    ours, plain = every_other(x, 2, first), x[:, :, first::2, first::2]
    assert torch.equal(ours, plain)
    (grad,) = torch.autograd.grad(ours.square().sum(), x)
    assert grad.is_contiguous(memory_format=memory)
    assert torch.equal(grad, torch.autograd.grad(plain.square().sum(), x)[0])


@pytest.mark.parametrize("memory", MEMORIES)
def test_channels_apart(memory):
    x = a_map(memory, 3, 8, 4, 5)
    few, many = split_channels(x, (2, 6))
    assert torch.equal(torch.cat([few, many], 1), x)
    assert few.is_contiguous(memory_format=memory)
    (grad,) = torch.autograd.grad(few.square().sum() + many.sum(), x)
    assert grad.is_contiguous(memory_format=memory)
    assert torch.equal(grad, torch.cat([2 * x[:, :2], torch.ones_like(x[:, 2:])], 1))


@pytest.mark.parametrize("size", [(6, 8), (5, 8), (7, 7)])
def test_a_factorized_reduction_is_two_strided_convolutions(size):
    """As in the official code; zeros complete the shifted half of an odd size."""
    reduce = FactorizedReduce(4, 6, affine=False).double()
    x = a_map(torch.channels_last, 2, 4, *size)
    shifted = functional.pad(x[:, :, 1:, 1:], (0, size[1] % 2, 0, size[0] % 2))
    plain = torch.cat(
        [
            functional.conv2d(x, reduce.straight.weight, None, 2),
            functional.conv2d(shifted, reduce.shifted.weight, None, 2),
        ],
        1,
    )
    ours = reduce.before_norm(x)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    of = (x, *reduce.parameters())
    upstream = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, of, upstream),
        torch.autograd.grad(plain, of, upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
