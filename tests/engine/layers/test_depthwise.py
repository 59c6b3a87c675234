"""The quick depthwise convolution against the library's plain one."""

import pytest
import torch
from torch.nn import functional

from darts_engine.layers.depthwise import DepthwiseConv, depthwise


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 4), (7, 7), (8, 8), (5, 2), (9, 12)])
def test_outputs_and_gradients_are_the_plain_convolutions(size, kernel, dilation, stride):
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, *size, dtype=torch.float64, generator=draws).requires_grad_()
    weight = torch.randn(
        4, 1, kernel, kernel, dtype=torch.float64, generator=draws
    ).requires_grad_()
    padding = dilation * (kernel - 1) // 2
    ours = depthwise(x, weight, stride, dilation)
    plain = functional.conv2d(x, weight, None, stride, padding, dilation, 4)
    assert ours.shape == plain.shape
    assert torch.allclose(ours, plain, atol=1e-12)
    grad = torch.randn(plain.shape, dtype=torch.float64, generator=draws)
    for mine, theirs in zip(
        torch.autograd.grad(ours, (x, weight), grad),
        torch.autograd.grad(plain, (x, weight), grad),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_it_can_be_differentiated_twice(kernel, stride):
    x = torch.randn(2, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    for dilation in (1, 2):
        assert torch.autograd.gradgradcheck(
            lambda a, b, dilation=dilation: depthwise(a, b, stride, dilation), (x, weight)
        )


def test_a_wide_kernel_computes_in_bfloat16_under_autocast():
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    weight = torch.randn(4, 1, 5, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = depthwise(x, weight, 1, 1)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert weight.grad.dtype == torch.float32


def test_the_module_has_the_librarys_parameter_and_shapes_on_any_device():
    module = DepthwiseConv(6, 5, 2, 2)
    assert [tuple(p.shape) for p in module.parameters()] == [(6, 1, 5, 5)]
    assert module(torch.zeros(1, 6, 9, 9)).shape == (1, 6, 5, 5)
    with torch.device("meta"):
        assert DepthwiseConv(6, 5, 2, 2)(torch.zeros(1, 6, 9, 9)).shape == (1, 6, 5, 5)
