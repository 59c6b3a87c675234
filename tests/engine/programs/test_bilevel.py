"""The toy problem of the DARTS paper's figure 2, with the alpha step that searches use."""

import pytest

from darts_engine.programs.bilevel import path


def test_the_first_step_is_the_one_computed_by_hand():
    # dL/dalpha = (w' - 2) + 2 xi alpha with w' = w - xi (2 w - 2 alpha): -2.8 at xi = 0.1.
    alpha, _ = path(0.1, steps=1, alpha_lr=1.0)[1]
    assert alpha == pytest.approx(2 + 2.8)


@pytest.mark.parametrize(
    "xi", [0.5, *(pytest.param(xi, marks=pytest.mark.slow) for xi in (0.0, 0.3, 0.7))]
)
def test_it_settles_where_the_unrolled_gradient_vanishes(xi: float):
    # At rest w = alpha, so alpha - 2 + 2 xi alpha = 0. The optimum (1, 1) is met at xi = 0.5,
    # where one step of w solves the inner problem; first order ends at (2, 2).
    alpha, weight = path(xi, steps=2000, alpha_lr=0.05, weight_lr=0.2)[-1]
    assert alpha == pytest.approx(2 / (1 + 2 * xi), abs=1e-6)
    assert weight == pytest.approx(alpha, abs=1e-6)
