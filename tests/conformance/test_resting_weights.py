"""Weights of operations that were not drawn: they rest, or drift as before torch 2.0.

Until then `zero_grad` filled gradients with zeros, so that SGD's momentum and decay went on moving
a weight without a part in the loss. The published results of GDAS were found so.
"""

import pytest
import torch
from torch import nn

from tests.conformance.given_draws import give_gumbels
from tests.conformance.steps_kit import Reference, batch, search
from tests.conformance.test_gdas import Drawn

STEPS = 20


class Drifting(Reference):
    """SGD by hand: b <- mu b + g + lambda w, w <- w - lr b, where no gradient is a zero one."""

    def __init__(self, *args, drifts: bool, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.drifts = drifts
        self.buffers = [torch.zeros_like(w) for w in self.network.parameters()]
        self.seen = [False] * len(self.buffers)

    def weight_step(self, of, mixing=None) -> None:
        self.zero()
        loss = self.loss(of, mixing)
        self.losses.append(loss.item())
        loss.backward()
        weights, section = list(self.network.parameters()), self.config.weights
        nn.utils.clip_grad_norm_(weights, section.grad_clip)
        lr = self.sgd.param_groups[0]["lr"]
        with torch.no_grad():
            for place, (weight, buffer) in enumerate(zip(weights, self.buffers, strict=True)):
                # Before its first gradient a weight has none to fill with zeros.
                self.seen[place] |= weight.grad is not None
                if not self.seen[place] or (weight.grad is None and not self.drifts):
                    continue
                gradient = 0 if weight.grad is None else weight.grad
                buffer.mul_(section.momentum).add_(gradient + section.weight_decay * weight)
                weight.sub_(lr * buffer)


@pytest.mark.parametrize("resting", ["rest", "drift"])
def test_twenty_steps_move_weights_as_a_hand_written_sgd(resting, monkeypatch):
    draws = give_gumbels(monkeypatch)
    ours = search(search__method="gdas", method__resting_weights=resting)
    mix = Drawn(draws, "drawn")
    theirs = Drifting(ours, mix=mix.of_cells, drifts=resting == "drift")
    first = {n: w.detach().clone() for n, w in theirs.network.named_parameters()}
    for number in range(1, STEPS + 1):
        epoch = 1 + (number - 1) // 5
        if number % 5 == 1:
            ours.begin_epoch(epoch)
            theirs.begin_epoch(epoch)
            mix.begin_epoch(epoch, 4)
        ours.step(epoch, number)
        theirs.alpha_step(batch("alpha", epoch, number))
        theirs.weight_step(batch("weights", epoch, number))
    found, moved = ours.state_by_name()["weights"], 0.0
    for name, weight in theirs.network.named_parameters():
        assert (found[name] - weight).abs().max() < 1e-11, name
        if "._ops." in name:
            moved += float((weight - first[name]).detach().square().sum())
    print(f"{resting}: weights of candidates moved by {moved ** 0.5:.4f}")
