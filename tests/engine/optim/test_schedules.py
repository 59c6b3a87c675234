"""Schedules at their corners."""

import pytest

from darts_engine.optim.schedules import cosine, learning_rate, ramp
from darts_engine.run.settings.config import SCHEDULES, TrainWeightsSection


def rates(epochs, **settings):
    """The learning rate of every epoch, from 1.0 unless given."""
    weights = TrainWeightsSection(**({"lr": 1.0, "lr_min": 0.0} | settings))
    return [learning_rate(weights, epoch, epochs) for epoch in range(epochs)]


def test_cosine_matches_the_published_log():
    assert cosine(0.025, 0.001, 0, 50) == 0.025
    assert cosine(0.025, 0.001, 49, 50) == pytest.approx(1.023679e-3, rel=1e-6)
    assert cosine(0.1, 0.0, 5, 10) == pytest.approx(0.05)


def test_the_drop_path_ramp_never_reaches_its_end():
    assert [ramp(0.2, e, 4) for e in range(4)] == pytest.approx([0, 0.05, 0.1, 0.15])


def test_linear_would_reach_its_end_in_the_epoch_after_the_last():
    assert rates(4, schedule="linear", lr_min=0.2) == pytest.approx([1.0, 0.8, 0.6, 0.4])


def test_constant_stays():
    assert rates(3, schedule="constant") == [1.0, 1.0, 1.0]


def test_a_step_comes_at_the_end_of_each_stretch():
    assert rates(8, schedule="step", lr_step=0.25, gamma=0.5) == pytest.approx(
        [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    )
    # 0.1 * 30 is more than 3 in floating point.
    assert rates(30, schedule="step", lr_step=0.1, gamma=0.5)[2:4] == [1.0, 0.5]


def test_the_imagenet_schedule_loses_three_percent_an_epoch():
    rate = rates(250, schedule="step", lr=0.1, lr_step=1 / 250, gamma=0.97)
    assert rate == pytest.approx([0.1 * 0.97**epoch for epoch in range(250)], rel=1e-9)


def test_exponential_goes_through_the_corners_of_step():
    settings = {"lr_step": 0.25, "gamma": 0.5}
    smooth, stepped = (rates(8, schedule=kind, **settings) for kind in ("exponential", "step"))
    assert smooth[::2] == pytest.approx(stepped[::2])
    assert smooth[1] == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("epochs", [20, 40, 200])
def test_milestones_scale_with_the_epochs(epochs):
    rate = rates(epochs, schedule="multi-step", gamma=0.2, milestones="0.2,0.5,0.7,0.85")
    for milestone, before in ((0.2, 0), (0.5, 1), (0.7, 2), (0.85, 3)):
        first = round(milestone * epochs)
        assert rate[first - 1] == pytest.approx(0.2**before)
        assert rate[first] == pytest.approx(0.2 ** (before + 1))
    assert rate[-1] == pytest.approx(0.2**4)


def test_warm_up_ends_at_the_schedule():
    rate = rates(100, schedule="constant", warmup=0.05)
    assert rate[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    warm, cold = (rates(100, warmup=warmup) for warmup in (0.05, 0.0))
    assert warm[4:] == cold[4:]
    assert warm[3] == pytest.approx(0.8 * cold[3])
    assert rates(10, warmup=0.05) == rates(10), "half an epoch of warm-up is none"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_starts_at_lr_and_stays_above_lr_min(schedule):
    rate = rates(30, schedule=schedule, lr=0.1, lr_min=0.02, gamma=0.1)
    assert rate[0] == pytest.approx(0.1)
    assert min(rate) >= 0.02
    assert rate == sorted(rate, reverse=True)
    assert len(rates(1, schedule=schedule)) == 1


def test_every_name_in_the_config_has_a_schedule_of_its_own():
    shapes = {name: tuple(rates(12, schedule=name)) for name in SCHEDULES}
    assert len(set(shapes.values())) == len(SCHEDULES)
