"""The weights' optimizer has the settings of its section."""

import torch
from torch import nn

from darts_engine.optim.sgd import sgd
from darts_engine.run.settings.config import TrainWeightsSection, WeightsSection


def test_only_a_training_has_nesterovs_form():
    weights = [nn.Parameter(torch.zeros(2))]
    plain = sgd(weights, WeightsSection(lr=0.1, momentum=0.5, weight_decay=0.01))
    (group,) = plain.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.5, 0.01)
    assert not group["nesterov"]
    (group,) = sgd(weights, TrainWeightsSection(nesterov=True)).param_groups
    assert group["nesterov"]
