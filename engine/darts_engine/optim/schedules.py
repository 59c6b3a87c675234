"""Schedules: the value of a quantity in each epoch. Epochs count from 0 here.

Lengths and milestones are fractions of all epochs, so that a shorter run has the same schedule,
compressed.
"""

import math
from collections.abc import Callable, Sequence

from darts_engine.run import events
from darts_engine.run.settings.config import TrainWeightsSection

# Fractions of the epochs are not exact: 0.1 * 30 is above 3.
ROUND_OFF = 1e-9
# Short names of schedules for views.
LABELS = {
    "lr_weights": "lr",
    "lr_alpha": "lr α",
    "weight_decay": "decay",
    "drop_path": "drop path",
    "skip_dropout": "skip drop",
}


def cosine(start: float, end: float, epoch: int, epochs: int) -> float:
    """From `start` in epoch 0 towards `end`, which epoch `epochs` would reach.

    SGDR (Loshchilov and Hutter, 2017, eq. 5) without restarts, as the DARTS code uses it: with 50
    epochs from 0.025 to 0.001, the last epoch has 1.023679e-3.
    """
    return end + (start - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def linear(start: float, end: float, epoch: int, epochs: int) -> float:
    """In a straight line from `start` in epoch 0 towards `end`, which `epochs` would reach."""
    return start + (end - start) * epoch / epochs


def ramp(end: float, epoch: int, epochs: int) -> float:
    """Linearly from 0 in epoch 0 towards `end`, which epoch `epochs` would reach."""
    return linear(0.0, end, epoch, epochs)


def exponential(start: float, gamma: float, every: float, epoch: int, epochs: int) -> float:
    """Times `gamma` over each stretch of `every`, a fraction of the epochs, in equal ratios.

    The value is start * gamma ** (epoch / (every * epochs)).
    """
    return float(start * gamma ** (epoch / (every * epochs)))


def step(start: float, gamma: float, every: float, epoch: int, epochs: int) -> float:
    """Times `gamma` at the end of each stretch of `every`, a fraction of the epochs.

    The DARTS code's ImageNet schedule, times 0.97 in each of 250 epochs, is `every` = 1 / 250.
    """
    return float(start * gamma ** math.floor(epoch / (every * epochs) + ROUND_OFF))


def multi_step(
    start: float, gamma: float, milestones: Sequence[float], epoch: int, epochs: int
) -> float:
    """Times `gamma` from each milestone on. Milestones are fractions of the epochs."""
    passed = sum(epoch + ROUND_OFF >= milestone * epochs for milestone in milestones)
    return float(start * gamma**passed)


def warm_up(length: float, epoch: int, epochs: int) -> float:
    """The factor that grows linearly to 1 over `length`, a fraction of the epochs.

    Goyal et al., 2017, arXiv 1706.02677, section 2.2, in steps of an epoch: in the first of five
    epochs it is 1/5, in the fifth 1.
    """
    last = length * epochs
    return min(1.0, (epoch + 1) / last) if last else 1.0


def learning_rate(weights: TrainWeightsSection, epoch: int, epochs: int) -> float:
    """The learning rate of an epoch: the chosen schedule, at least `lr_min`, times the warm-up."""
    start, end = weights.lr, weights.lr_min
    match weights.schedule:
        case "cosine":
            value = cosine(start, end, epoch, epochs)
        case "linear":
            value = linear(start, end, epoch, epochs)
        case "exponential":
            value = exponential(start, weights.gamma, weights.lr_step, epoch, epochs)
        case "step":
            value = step(start, weights.gamma, weights.lr_step, epoch, epochs)
        case "multi-step":
            value = multi_step(start, weights.gamma, weights.milestone_list(), epoch, epochs)
        case _:
            value = start
    return max(end, value) * warm_up(weights.warmup, epoch, epochs)


def spans(values_of: Callable[[int], dict[str, float]], epochs: int) -> list[events.ScheduleSpan]:
    """All schedules of a run, as its events have them.

    Args:
        values_of: from an epoch (from 1) to the values of all schedules by name.
        epochs: of the run.
    """
    by_epoch = [values_of(epoch) for epoch in range(1, epochs + 1)]
    return [
        events.ScheduleSpan(
            name=name, label=LABELS.get(name, name), values=[values[name] for values in by_epoch]
        )
        for name in by_epoch[0]
    ]
