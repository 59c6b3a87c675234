"""The weights' optimizer has the settings of its section; ours are torch's, step by step."""

import copy

import pytest
import torch
from torch import nn

from darts_engine.optim import eager
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


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
        ("Adam", {"lr": 0.1, "betas": (0.5, 0.999), "weight_decay": 0.01}),
    ],
)
def test_ours_compute_the_bits_of_torchs_and_read_its_state(name, settings):
    start = torch.randn(3, 4)
    theirs, ours = (nn.Parameter(start.clone()) for _ in range(2))
    reference = getattr(torch.optim, name)([theirs], **settings)
    optimizer = getattr(eager, name)([ours], **settings)
    for step in range(4):
        for weights, moves in ((theirs, reference), (ours, optimizer)):
            moves.zero_grad()
            weights.pow(4).sum().backward()
            moves.step()
        assert torch.equal(ours, theirs)
        assert ours.requires_grad
        if step == 1:
            # As from a checkpoint of a build with torch's own.
            optimizer = getattr(eager, name)([ours], **settings)
            optimizer.load_state_dict(copy.deepcopy(reference.state_dict()))
    mine, other = optimizer.state_dict(), reference.state_dict()
    assert mine["param_groups"] == other["param_groups"]
    assert mine["state"][0].keys() == other["state"][0].keys()
    assert all(
        torch.equal(value, other["state"][0][key]) for key, value in mine["state"][0].items()
    )
