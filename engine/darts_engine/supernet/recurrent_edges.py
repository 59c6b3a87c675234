"""The edges that leave a state of the relaxed recurrent cell, as one product and one sum.

Shapes: B columns of text, n the width, R the edges, one to each later node, K the operations but
`none`.
"""

from collections.abc import Sequence

from torch import Tensor

from darts_engine.layers.recurrent_operations import OPERATIONS


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
    terms = [
        weight * OPERATIONS[name](candidate)
        for name, weight in zip(names, weights_RK[:, None].unbind(2), strict=True)
    ]
    carried = weights_RK.sum(1)[:, None] * state[:, None]
    mixed = carried + gate.sigmoid() * (sum(terms[1:], terms[0]) - carried)
    return mixed if sums is None else sums + mixed
