"""SmoothDARTS's and MS-DARTS's perturbations against their equations."""

import math

import pytest
import torch
from torch import Tensor

from darts_engine.compute import streams
from darts_engine.methods.perturbations.mean_shift import MeanShift
from darts_engine.methods.perturbations.random_and_adversarial import (
    Adversarial,
    Losses,
    Objective,
    Random,
    noise,
)
from darts_engine.methods.perturbations.simplex import clipped
from darts_engine.supernet.mixing import Matrices

COSTS = torch.linspace(-1, 1, 8).double()


def linear(weights: Matrices) -> Tensor:
    """A loss that grows to the right."""
    return sum((w * COSTS).sum() for w in weights.values())


def never(weights: Matrices) -> Tensor:
    raise AssertionError("this batch must not be used")


LINEAR, NEVER = Objective(linear), Objective(never)


def draws() -> torch.Generator:
    return streams.generator(0, "test", 1)


def weights() -> dict[str, Tensor]:
    normal = torch.randn(5, 8, generator=streams.generator(0, "w")).double().softmax(-1)
    return {"normal": normal, "reduce": normal.flip(0)}


def is_on_simplex(matrix: Tensor) -> bool:
    return bool((matrix >= 0).all()) and torch.allclose(matrix.sum(-1), torch.ones(()).double())


def test_rows_are_clamped_and_scaled_and_an_empty_one_gets_its_largest_entry():
    rows = torch.tensor([[0.5, -0.2, 1.5], [-0.3, -0.1, -0.2]]).double()
    expected = torch.tensor([[0.5 / 1.5, 0, 1 / 1.5], [0, 1, 0]]).double()
    assert torch.allclose(clipped(rows), expected)


def test_random_noise_fills_the_box_and_stays_on_the_simplex():
    noises = noise(torch.zeros(100, 100), 0.3, draws())
    assert noises.abs().max() <= 0.3
    assert noises.abs().max() > 0.29
    moved = Random(0.03, 0.3).perturb(weights(), Losses(NEVER, NEVER), 0.1, draws())
    assert all(is_on_simplex(w) for w in moved.values())
    assert not torch.allclose(moved["normal"], weights()["normal"])


@pytest.mark.parametrize(("epoch", "expected"), [(1, 0.03), (26, 0.165), (50, 0.2946)])
def test_the_radius_grows_from_its_start_and_never_reaches_its_end(epoch: int, expected: float):
    assert Random(0.03, 0.3).radius(epoch, 50) == pytest.approx(expected)
    mean_shift = MeanShift(0.25, 1.0, 3, 2, official=False)
    assert mean_shift.radius(epoch, 50) == pytest.approx(0.025 + 0.225 * (epoch - 1) / 50)


def test_the_ascent_finds_worse_weights_on_the_training_batch_only():
    here = weights()
    worse = Adversarial(0.03, 0.3, 7).perturb(here, Losses(LINEAR, NEVER), 0.1, draws())
    assert linear(worse) > linear(here)
    assert all(is_on_simplex(w) for w in worse.values())
    assert not any(w.requires_grad for w in worse.values())


def test_one_step_of_ascent_by_hand():
    here = {"normal": torch.tensor([[0.5, 0.3, 0.2]]).double()}
    slope = torch.tensor([-1.0, 2.0, 0.5]).double()

    def loss(w: Matrices) -> Tensor:
        return (w["normal"] * slope).sum()

    radius = 0.1
    start = clipped(here["normal"] + noise(here["normal"], radius, draws()))
    stepped = start + 2 * radius * slope.sign()
    boxed = here["normal"] + (stepped - here["normal"]).clamp(-radius, radius)
    moved = Adversarial(0, 1, 1).perturb(here, Losses(Objective(loss), NEVER), radius, draws())
    assert torch.allclose(moved["normal"], clipped(boxed))


def test_an_ascent_that_lowers_the_loss_is_taken_back():
    here = weights()
    best = linear(here)
    valley = Losses(Objective(lambda w: -(linear(w) - best).square()), NEVER)
    moved = Adversarial(0.03, 0.3, 3).perturb(here, valley, 0.2, draws())
    assert all(torch.equal(moved[cell], here[cell]) for cell in here)


def by_hand(here: dict[str, Tensor], radius: float, *, official: bool) -> dict[str, Tensor]:
    """One iteration with the formula as printed: N = 3, h = 0.5."""
    generator = draws()
    drawn = [{c: w + noise(w, radius, generator) for c, w in here.items()} for _ in range(3)]
    clips = [{c: clipped(w) for c, w in sample.items()} for sample in drawn]
    losses = torch.stack([linear(sample) for sample in clips])
    omega = losses.exp() / losses.exp().sum()
    out = {}
    for cell, w in here.items():
        above, below = torch.zeros_like(w), 0.0
        for n in range(3):
            apart = float((w - clips[n][cell]).norm())
            k = math.exp(-0.5 * (apart / 0.5) ** 2) / (0.5 * math.sqrt(2 * math.pi))
            above += (drawn if official else clips)[n][cell] * omega[n] * k
            below += float(omega[n]) * k
        out[cell] = above / below if official else clipped(above / below)
    return out


@pytest.mark.parametrize("official", [False, True])
def test_a_mean_shift_is_the_papers_formula(official: bool):
    here = weights()
    losses = Losses(LINEAR, NEVER) if official else Losses(NEVER, LINEAR)
    shift = MeanShift(0.25, 0.5, 3, 1, official=official)
    moved = shift.perturb(here, losses, 0.2, draws())
    expected = by_hand(here, 0.2, official=official)
    for cell in here:
        assert torch.allclose(moved[cell], expected[cell], atol=1e-12)
        assert is_on_simplex(moved[cell]) or official
    assert len(shift.last.losses) == 3
    assert shift.last.lengths["normal"] == pytest.approx(
        float((moved["normal"] - here["normal"]).norm())
    )


def test_mean_shifts_go_towards_worse_weights_and_repeat():
    here, worse = weights(), 0
    for step in range(20):
        generator = streams.generator(0, "many", step)
        shift = MeanShift(0.25, 1.0, 4, 3, official=False)
        moved = shift.perturb(here, Losses(NEVER, LINEAR), 0.25, generator)
        worse += int(linear(moved) > linear(here))
        assert len(shift.last.losses) == 12
    assert worse >= 15
