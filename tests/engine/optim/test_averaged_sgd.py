"""Weights are averaged from the right epoch on, and as torch's averaged SGD averages them."""

import pytest
import torch
from torch import nn

from darts_engine.optim import eager
from darts_engine.optim.averaged_sgd import NonMonotone, WeightMean


def test_the_rule_tells_at_the_ninth_loss_of_the_specification():
    rule = NonMonotone(5)
    losses = [5, 4, 3, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6]
    assert [rule.has_stopped_falling(loss) for loss in losses] == [False] * 8 + [True]
    # The loss that ends the record is no part of it.
    assert rule.losses == losses[:-1]


@pytest.mark.parametrize(
    ("window", "losses", "first"),
    [
        (1, [1.0, 2.0, 1.5], 3),  # 1.5 is compared with 1.0 alone
        (1, [1.0, 1.0, 1.0], None),  # as low is not above
        (2, [3.0, 4.0, 5.0], None),  # there must be more than two before
        (2, [3.0, 4.0, 5.0, 3.5], 4),
        (0, [1.0, 2.0, 3.0, 4.0], None),  # never
    ],
)
def test_the_rule_leaves_out_the_last_losses(window, losses, first):
    rule = NonMonotone(window)
    told = [rule.has_stopped_falling(loss) for loss in losses]
    assert told == [place == first for place in range(1, len(losses) + 1)]


def test_mean_and_weights_are_those_of_torchs_averaged_sgd():
    draws = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, generator=draws, dtype=torch.float64)
    gradients = torch.randn(6, 4, 3, generator=draws, dtype=torch.float64)
    theirs, ours = (nn.Parameter(start.clone()) for _ in range(2))
    settings = {"lr": 0.25, "weight_decay": 0.01}
    reference = torch.optim.ASGD([theirs], **settings, lambd=0.0, t0=0.0)
    optimizer, mean = eager.SGD([ours], **settings), WeightMean([ours])
    mean.begin()
    for gradient in gradients:
        theirs.grad, ours.grad = gradient.clone(), gradient.clone()
        reference.step()
        optimizer.step()
        mean.update()
        torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-14)
        # torch has the share of a step in single precision.
        expected = reference.state[theirs]["ax"]
        torch.testing.assert_close(mean.means[0], expected, rtol=1e-6, atol=1e-6)
    assert mean.steps == len(gradients)


def test_inside_the_network_has_the_mean_and_afterwards_its_own_bits():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    mean = WeightMean([weight])
    with mean.in_use():
        # It has not begun: there is nothing else to use.
        assert weight.tolist() == [1.0, 2.0]
    mean.update()
    assert not mean.has_begun
    mean.begin()
    for value in (9.0, 4.0, 0.1):
        weight.data.fill_(value)
        mean.update()
    own = weight.detach().clone()
    with mean.in_use():
        # The weights of the first step are not in the mean, as in torch.
        assert weight.tolist() == pytest.approx([2.05, 2.05])
    assert torch.equal(weight, own)
    mean.end()
    assert not mean.has_begun
