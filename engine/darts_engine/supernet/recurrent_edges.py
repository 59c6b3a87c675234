"""The edges of the relaxed recurrent cell that enter one node, as one product and one sum.

With [c, g] the product of a masked state and the node's matrix, an edge brings

    sum of a_f (s + sigmoid(c) (f(g) - s)) = S s + sigmoid(c) (sum of a_f f(g) - S s)

with S the sum of a. All that follows the product acts on each number alone, so its derivative is
one number for each of the product's. `_Received` keeps these instead of the ten tensors of the
formula's steps, and its way back to the product is one pass over them.

Shapes: B columns of text, n the width, R the edges, K the operations but `none`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.layers.recurrent_operations import OPERATIONS, SLOPES


def received(
    names: Sequence[str], states: Tensor, mask: Tensor | None, matrix: Tensor, weights_RK: Tensor
) -> Tensor:
    """What edges of equal operations bring to their node, (B, n).

    Args:
        names: the K operations.
        states: where the edges come from, (R, B, n).
        mask: of the hidden dropout, (B, n); None drops nothing.
        matrix: of the node, (n, 2n).
        weights_RK: a, of these edges.
    """
    if not torch.is_grad_enabled() or torch.is_autocast_enabled(states.device.type):
        return _steps(names, states, mask, matrix, weights_RK).total()
    total: Tensor = _Received.apply(tuple(names), states, mask, matrix, weights_RK)
    return total


class _Steps(NamedTuple):
    """The steps of the formula; each but the values is (R, B, n)."""

    opened: Tensor  # sigmoid(c)
    values: list[Tensor]  # f(g) of every operation
    carried: Tensor  # the sum of S s over the edges, (B, n)
    mixed: Tensor  # sum of a_f f(g) - S s

    def total(self) -> Tensor:
        """What all edges bring, (B, n)."""
        return self.carried + (self.opened * self.mixed).sum(0)

    def slopes(self, names: Sequence[str], weights_RK: Tensor) -> Tensor:
        """The derivatives of the total by each number of the product, (R, B, 2n)."""
        by_gate = torch.ops.aten.sigmoid_backward(self.mixed, self.opened)
        weights = weights_RK[:, :, None, None].unbind(1)
        terms = [
            SLOPES[name](weight, value)
            for name, value, weight in zip(names, self.values, weights, strict=True)
        ]
        by_candidate = sum(terms[1:], terms[0]) * self.opened
        return torch.cat([by_gate, by_candidate], -1)


def _steps(
    names: Sequence[str], states: Tensor, mask: Tensor | None, matrix: Tensor, weights_RK: Tensor
) -> _Steps:
    product = _masked(states, mask).flatten(0, 1) @ matrix
    gate, candidate = product.view(*states.shape[:2], -1).chunk(2, -1)
    # The activations are faster on dense memory.
    candidate = candidate.contiguous()
    values = [_value(name, candidate) for name in names]
    mixed = states * -weights_RK.sum(1)[:, None, None]
    carried = -mixed.sum(0)
    for value, weight in zip(values, weights_RK[:, :, None, None].unbind(1), strict=True):
        mixed = torch.addcmul(mixed, value, weight)
    return _Steps(gate.sigmoid(), values, carried, mixed)


def _value(name: str, x: Tensor) -> Tensor:
    """f(g). On a CPU a tanh takes the library six times as long as a sigmoid."""
    if name == "tanh" and x.device.type == "cpu":
        return (2 * x).sigmoid() * 2 - 1
    return OPERATIONS[name](x)


def _masked(states: Tensor, mask: Tensor | None) -> Tensor:
    return states if mask is None else states * mask


class _Received(torch.autograd.Function):
    """`received` with derivatives by hand."""

    @staticmethod
    def forward(
        ctx: Any,
        names: Sequence[str],
        states: Tensor,
        mask: Tensor | None,
        matrix: Tensor,
        weights_RK: Tensor,
    ) -> Tensor:
        steps = _steps(names, states, mask, matrix, weights_RK)
        # Only the gradient of the weights needs the values.
        values = steps.values if ctx.needs_input_grad[4] else []
        slopes = steps.slopes(names, weights_RK)
        ctx.names = names
        ctx.save_for_backward(states, mask, matrix, weights_RK, slopes, steps.opened, *values)
        return steps.total()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        states, mask, matrix, weights_RK, slopes, opened, *values = ctx.saved_tensors
        if torch.is_grad_enabled():
            # A gradient that is differentiated again needs the history of what was kept.
            steps = _steps(ctx.names, states, mask, matrix, weights_RK)
            slopes = steps.slopes(ctx.names, weights_RK)
            opened, values = steps.opened, steps.values
        _, needs_states, _, needs_matrix, needs_weights = ctx.needs_input_grad
        grad_states = grad_matrix = grad_weights = None
        to_values = grad * opened
        to_carried = grad - to_values
        grad_product = (slopes.unflatten(2, (2, -1)) * grad[:, None]).view(-1, matrix.shape[1])
        if needs_states:
            grad_states = to_carried * weights_RK.sum(1)[:, None, None]
            of_product = (grad_product @ matrix.t()).view_as(states)
            factor = of_product.new_ones(()) if mask is None else mask
            grad_states = torch.addcmul(grad_states, of_product, factor)
        if needs_matrix:
            grad_matrix = _masked(states, mask).flatten(0, 1).t() @ grad_product
        if needs_weights:
            of_values = torch.stack([_dot(to_values, value) for value in values], 1)
            grad_weights = of_values + _dot(to_carried, states)[:, None]
        return None, grad_states, None, grad_matrix, grad_weights


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """The sum of the products of each edge, (R,)."""
    return (left * right).sum((1, 2))
