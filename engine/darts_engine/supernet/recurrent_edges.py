"""All edges that leave a state of the relaxed recurrent cell, as one product and one sum.

`mixed_edges` is their definition in ordinary operations of torch. `MixedEdges` computes the same
with its own backward pass: it works in place on the product, and keeps less. Where a gradient is
differentiated again (the exact product of second order), it goes back to the definition.

Shapes: B columns of text, n the width, R the edges, one to each later node, K the operations but
`none`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from darts_engine.layers.recurrent_operations import OPERATIONS

# The derivative of each operation by its input x, given its output y too.
SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor | int]] = {
    "tanh": lambda _, y: 1 - y * y,
    "relu": lambda x, _: x > 0,
    "sigmoid": lambda _, y: y * (1 - y),
    "identity": lambda _x, _y: 1,
}


def mixed_edges(
    names: Sequence[str],
    matrix: Tensor,
    weights_RK: Tensor,
    state: Tensor,
    masked: Tensor,
    sums: Tensor | None,
) -> Tensor:
    """What the later nodes have received after this state, (B, R, n).

    With [c, g] the product of the masked state and a node's matrix, an edge adds

        sum of a_f (s + sigmoid(c) (f(g) - s)) = S s + sigmoid(c) (sum of a_f f(g) - S s)

    Args:
        names: the K operations.
        matrix: the matrices of the nodes side by side, (n, R * 2n).
        weights_RK: a, of these edges; S is the sum of a row.
        state: s, (B, n).
        masked: s after the hidden dropout, (B, n).
        sums: what the nodes had received before, (B, R, n); None is zero.
    """
    product = (masked @ matrix).view(len(state), len(weights_RK), 2, -1)
    gate, candidate = product.unbind(2)
    terms = [w * OPERATIONS[f](candidate) for f, w in zip(names, columns(weights_RK), strict=True)]
    carried = weights_RK.sum(1)[:, None] * state[:, None]
    mixed = carried + gate.sigmoid() * (sum(terms[1:], terms[0]) - carried)
    return mixed if sums is None else sums + mixed


def columns(weights_RK: Tensor) -> tuple[Tensor, ...]:
    """The weights of each operation, (R, 1) to multiply (B, R, n)."""
    return weights_RK[:, None].unbind(2)


class MixedEdges(torch.autograd.Function):
    """`mixed_edges` with a backward pass of its own."""

    @staticmethod
    def forward(
        ctx: Any,
        names: Sequence[str],
        matrix: Tensor,
        weights_RK: Tensor,
        state: Tensor,
        masked: Tensor,
        sums: Tensor | None,
    ) -> Tensor:
        """As `mixed_edges`."""
        product = (masked @ matrix).view(len(state), len(weights_RK), 2, -1)
        gate, candidate = product.unbind(2)
        gate.sigmoid_()
        outputs = [OPERATIONS[name](candidate) for name in names]
        total = weights_RK.sum(1)[:, None]
        carried = total * state[:, None]
        distance = -carried
        for weight, output in zip(columns(weights_RK), outputs, strict=True):
            distance += weight * output
        out = carried if sums is None else carried.add_(sums)
        out.addcmul_(gate, distance)
        ctx.names, ctx.has_sums = names, sums is not None
        ctx.save_for_backward(matrix, weights_RK, state, masked, sums, product, distance, *outputs)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of `forward`'s arguments."""
        matrix, weights_RK, state, masked, sums, product, distance, *outputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, *_again(ctx, (matrix, weights_RK, state, masked, sums), grads[0])
        (grad,) = grads
        gate, candidate = product.unbind(2)
        opened = grad * gate
        passed = grad - opened
        of_product = torch.empty_like(product)
        of_gate, of_candidate = of_product.unbind(2)
        torch.mul(distance, opened, out=of_gate).mul_(1 - gate)
        of_candidate.zero_()
        for name, weight, output in zip(ctx.names, columns(weights_RK), outputs, strict=True):
            of_candidate += weight * SLOPES[name](candidate, output)
        of_candidate *= opened
        of_product = of_product.flatten(1)
        _, of_matrix, of_weights, *_ = ctx.needs_input_grad
        grad_matrix = masked.t() @ of_product if of_matrix else None
        grad_weights = None
        if of_weights:
            of_carried = (passed * state[:, None]).sum((0, 2))
            grad_weights = torch.stack([(opened * y).sum((0, 2)) for y in outputs], 1)
            grad_weights += of_carried[:, None]
        grad_state = (passed * weights_RK.sum(1)[:, None]).sum(1)
        grad_masked = of_product @ matrix.t()
        grad_sums = grad if ctx.has_sums else None
        return None, grad_matrix, grad_weights, grad_state, grad_masked, grad_sums


def _again(ctx: Any, inputs: Sequence[Tensor | None], grad: Tensor) -> list[Tensor | None]:
    """The gradients by the definition, to be differentiated again."""
    # Views, since one input may have been computed from another: gradients end here.
    views = [None if t is None else t.view_as(t) for t in inputs]
    matrix, weights_RK, state, masked, sums = views
    assert matrix is not None
    assert weights_RK is not None
    assert state is not None
    assert masked is not None
    out = mixed_edges(ctx.names, matrix, weights_RK, state, masked, sums)
    wanted = {
        place: view
        for place, view in enumerate(views)
        if view is not None and ctx.needs_input_grad[place + 1]
    }
    of = torch.autograd.grad(out, list(wanted.values()), grad, create_graph=True)
    found: list[Tensor | None] = [None] * len(views)
    for place, gradient in zip(wanted, of, strict=True):
        found[place] = gradient
    return found
