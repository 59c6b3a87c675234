"""Edges into a node of the relaxed recurrent cell: their derivatives by hand, of both orders."""

import pytest
import torch

from darts_engine.layers.recurrent_operations import OPERATIONS
from darts_engine.supernet.recurrent_edges import received

EDGES, COLUMNS, WIDTH = 3, 4, 5


def inputs(names):
    draws = torch.Generator().manual_seed(2)
    shapes = ((EDGES, COLUMNS, WIDTH), (WIDTH, 2 * WIDTH), (EDGES, len(names)))
    return [
        torch.randn(shape, generator=draws, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


def mask():
    return 2 * torch.randint(2, (COLUMNS, WIDTH), generator=torch.Generator().manual_seed(3))


def by_definition(names, states, mask, matrix, weights):
    """Edge by edge and operation by operation."""
    total = torch.zeros_like(states[0])
    for state, row in zip(states, weights, strict=True):
        masked = state if mask is None else state * mask
        gate, candidate = (masked @ matrix).chunk(2, 1)
        for name, weight in zip(names, row, strict=True):
            moved = state + gate.sigmoid() * (OPERATIONS[name](candidate) - state)
            total = total + weight * moved
    return total


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("names", [tuple(OPERATIONS), ("relu",), ("identity", "tanh")])
def test_values_and_gradients_are_those_of_the_definition(names, dropped):
    states, matrix, weights = inputs(names)
    found = []
    for computed in (received, by_definition):
        total = computed(names, states, mask() if dropped else None, matrix, weights)
        gradients = torch.autograd.grad(total.sin().sum(), (states, matrix, weights))
        found.append([total, *gradients])
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)
    with torch.no_grad():
        total = received(names, states, mask() if dropped else None, matrix, weights)
    assert torch.equal(total, found[0][0])


def test_gradients_can_be_differentiated_again():
    names = tuple(OPERATIONS)

    def total(*tensors):
        states, matrix, weights = tensors
        return received(names, states, mask(), matrix, weights)

    assert torch.autograd.gradcheck(total, inputs(names))
    assert torch.autograd.gradgradcheck(total, inputs(names))


def test_only_the_gradients_that_are_asked_for_are_computed():
    names = tuple(OPERATIONS)
    whole, part = inputs(names), inputs(names)
    part[1].requires_grad_(False)
    for states, matrix, weights in (whole, part):
        received(names, states, None, matrix, weights).sum().backward()
    assert part[1].grad is None
    assert torch.equal(part[0].grad, whole[0].grad)
    assert torch.equal(part[2].grad, whole[2].grad)


def test_autocast_does_not_round_what_a_state_carries():
    states, matrix, weights = (tensor.detach().float() for tensor in inputs(("tanh",)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = received(("tanh",), states, None, torch.zeros_like(matrix), weights)
    # Matrices of zeros halve every state.
    expected = (weights[:, :, None] * states / 2).sum(0)
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-6)
