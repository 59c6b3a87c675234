"""SGD on the weights of a supernet or of a network."""

from collections.abc import Iterable

from torch import nn

from darts_engine.optim import eager
from darts_engine.run.settings.config import TrainWeightsSection, WeightsSection


def sgd(weights: Iterable[nn.Parameter], section: WeightsSection) -> eager.SGD:
    """The optimizer of a section: learning rate, momentum, L2 weight decay, Nesterov's form.

    Args:
        weights: one group of parameters.
        section: of the config; only a training's has Nesterov's form.
    """
    return eager.SGD(
        weights,
        lr=section.lr,
        momentum=section.momentum,
        weight_decay=section.weight_decay,
        nesterov=isinstance(section, TrainWeightsSection) and section.nesterov,
    )
