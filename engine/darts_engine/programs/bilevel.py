"""The toy problem of the DARTS paper's figure 2, as JSON.

`python -m darts_engine.programs.bilevel`

L_valid = alpha w - 2 alpha + 1 and L_train = w^2 - 2 alpha w + alpha^2, from (alpha, w) = (2, -2).
The optimum of the bilevel problem is (1, 1). The alpha step is the very code that searches use;
only the toy's own descent around it is here.
"""

import argparse
from collections.abc import Sequence

import torch

from darts_engine.methods.architects.second_order import VirtualStep, combine, exact, unroll
from darts_engine.programs.answer import answer
from darts_engine.run.answers import ToyDescent

START = (2.0, -2.0)


def path(
    xi: float, steps: int = 200, alpha_lr: float = 0.01, weight_lr: float = 0.1
) -> list[tuple[float, float]]:
    """The pairs (alpha, w) of gradient descent in turns, alpha first; xi = 0 is first order.

    Args:
        xi: learning rate of the virtual step.
        steps: pairs after the first.
        alpha_lr: learning rate of alpha.
        weight_lr: learning rate of w.
    """
    alpha = torch.tensor(START[0], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(START[1], dtype=torch.float64, requires_grad=True)

    def train() -> torch.Tensor:
        return weight**2 - 2 * alpha * weight + alpha**2

    def valid() -> torch.Tensor:
        return alpha * weight - 2 * alpha + 1

    pairs = [START]
    ahead = VirtualStep(xi, 0.0, 0.0, [None])
    for _ in range(steps):
        look = unroll(train, valid, [weight], [alpha], ahead)
        product = exact(train, [weight], [alpha], look.vector)
        (gradient,) = combine(look.direct, product, xi)
        with torch.no_grad():
            alpha -= alpha_lr * gradient
        (slope,) = torch.autograd.grad(train(), [weight])
        with torch.no_grad():
            weight -= weight_lr * slope
        pairs.append((alpha.item(), weight.item()))
    return pairs


def main(arguments: Sequence[str] | None = None) -> int:
    """Descend and answer; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m darts_engine.programs.bilevel")
    parser.add_argument("--xi", type=float, default=0.7)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args(arguments)
    return answer(lambda: ToyDescent(options.xi, path(options.xi, options.steps)))


if __name__ == "__main__":
    raise SystemExit(main())
