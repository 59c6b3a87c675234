"""The architect of second order on text, held to the numbers of the official code in float64."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from text_kit import text_search
from torch import Tensor

from darts_engine.methods.architects.second_order import clip_
from darts_engine.search.text_task import TextSearch

DOUBLE = torch.float64
GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "recurrent.npz")
PLAIN = {
    f"text__{name}_dropout": 0.0 for name in ("output", "hidden", "input", "embedding", "word")
}


def golden(name: str) -> Tensor:
    return torch.from_numpy(np.asarray(GOLDEN[name]))


def official(**changes: Any) -> TextSearch:
    """A search at the weights and the alpha of the official numbers; eta is its next rate."""
    settings = {
        "space__nodes": 8, "text__width": 6, "search__order": 2, "weights__lr": 2.0,
        "weights__grad_clip": 0.25, "weights__weight_decay": 5e-7,
    }  # fmt: skip
    search = text_search(**settings | PLAIN | changes)
    search._corpus.tokens.words.extend(f"word {n}" for n in range(13 - len(search._corpus.tokens)))
    search._enter(search._plan[0])
    search.supernet.double()
    state = {name[2:]: golden(name) for name in GOLDEN.files if name.startswith("w/")}
    search.supernet.load_reference_state(state, golden("alpha"))
    search.supernet.train()
    search.begin_epoch(1)
    search.method.begin_step(1, 1)
    return search


def batches() -> tuple[Any, Any]:
    train = (golden("x"), golden("hidden")[0]), golden("y")
    valid = (golden("x_valid"), golden("hidden_valid")[0]), golden("y_valid")
    return valid, train


@pytest.mark.parametrize(
    ("name", "settings", "tolerance"),
    [
        ("exact_unrolled_alpha", {"search__hvp": "exact"}, 1e-12),
        # A difference of gradients over 2 epsilon has the rounding of both times 1 / epsilon.
        ("unrolled_alpha_r0.01", {"search__hvp_radius": 1e-2}, 1e-12),
        ("unrolled_alpha_r1e-06", {"search__hvp_radius": 1e-6}, 1e-8),
    ],
)
def test_alphas_gradient_is_that_of_the_official_code(name, settings, tolerance) -> None:
    search = official(**settings)
    before = {n: t.clone() for n, t in search.supernet.state_dict().items()}
    found = search.method.alpha_gradient(*batches())
    (gradient,) = found.gradients
    torch.testing.assert_close(gradient, golden(name), rtol=0, atol=tolerance)
    # Weights and running statistics are as they were.
    for key, tensor in search.supernet.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_the_exact_product_and_the_difference_at_a_small_radius_agree() -> None:
    distance = official(search__hvp_radius=1e-6).method.distance(*batches())
    assert float(distance.product) < 1e-6
    assert torch.isfinite(distance.gradient)


def test_without_a_step_it_is_the_gradient_of_the_validation_loss() -> None:
    search = official()
    valid, _ = batches()
    loss, hidden = search.supernet.loss(valid)
    (wanted,) = torch.autograd.grad(loss, list(search.supernet.alphas.parameters()))
    direct = official(weights__lr=1e-12).method.alpha_gradient(*batches())
    torch.testing.assert_close(direct.gradients[0], wanted, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(direct.output, hidden.detach(), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("scale", "factor"), [("limited", 1.0), ("official", 0.25 / 1e-3)])
def test_the_implicit_term_is_amplified_only_as_in_the_official_code(scale, factor) -> None:
    """With |g| = .001 and a limit of .25 the official factor is about 250, ours 1."""
    architect: Any = official(text__hvp_scale=scale, search__hvp="exact").method.architect
    coefficient = clip_([torch.tensor([1e-3], dtype=DOUBLE)], 0.25)
    ahead = type("Ahead", (), {"coefficient": coefficient})
    rate = architect._rate(type("Step", (), {"lr": 2.0}), ahead)
    assert float(rate) == pytest.approx(2.0 * factor, rel=2e-3)


def test_gradients_are_clipped_as_by_torch() -> None:
    draws = torch.Generator().manual_seed(1)
    for size in (1e-3, 1.0):
        given = [size * torch.randn(shape, generator=draws) for shape in (4, 7)]
        wanted = [torch.nn.Parameter(torch.zeros_like(g)) for g in given]
        for parameter, gradient in zip(wanted, given, strict=True):
            parameter.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_(wanted, 0.25)
        assert float(clip_(given, 0.25)) == pytest.approx(float(0.25 / (norm + 1e-6)))
        for parameter, gradient in zip(wanted, given, strict=True):
            torch.testing.assert_close(gradient, parameter.grad)
    assert clip_(given, math.inf) == 1.0
