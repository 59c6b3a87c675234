"""SmoothDARTS: steps at perturbed mixing weights, against the official rule.

github.com/xiangning-chen/SmoothDARTS, commit c16eed57: attacker/perturb.py, `clip` of
sota/cnn/model_search.py and the loop of sota/cnn/train_search.py. Alpha's step comes first and is
that of DARTS.
"""

import pytest
import torch

from darts_engine.methods.perturbations import random_and_adversarial
from tests.conformance.given_draws import Uniform, give_uniform
from tests.conformance.official_cells import CELLS, pairs
from tests.conformance.steps_kit import Reference, batch, search, walk

CLOSE = 1e-12


def official_clip(rows: torch.Tensor) -> torch.Tensor:
    """Each row within [0, 1] and scaled to sum 1; without a positive entry, its largest alone."""
    out = rows.clone()
    for row in out:
        largest = int(row.argmax())
        row.clamp_(0, 1)
        if row.sum() == 0:
            row[largest] = 1
        row /= row.sum().clone()
    return out


class Smooth:
    """A reference whose weights learn at perturbed mixing weights."""

    def __init__(self, theirs: Reference, draws: Uniform, *, adversarial: bool) -> None:
        self.theirs, self.draws, self.is_adversarial = theirs, draws, adversarial
        self.given_up = 0

    def radius(self, epoch: int) -> float:
        """From 0.03 towards 0.3, by epoch (from 1): e / E with e from 0."""
        return 0.03 + (0.3 - 0.03) * (epoch - 1) / self.theirs.config.search.epochs

    def perturbed(self, epoch: int, of: tuple[torch.Tensor, torch.Tensor]):
        clean = [torch.softmax(self.theirs.alphas[cell].detach(), -1) for cell in CELLS]
        eps = self.radius(epoch)
        start = [official_clip(p + eps * self.draws(p.shape)) for p in clean]
        return self.ascended(clean, start, eps, of) if self.is_adversarial else start

    def ascended(self, clean, start, eps, of):
        """Seven sign steps up the training loss, in evaluation mode: box first, then simplex."""
        self.theirs.network.eval()
        before, moved = self.loss(clean, of), start
        for _ in range(7):
            leaves = [p.clone().requires_grad_() for p in moved]
            slopes = torch.autograd.grad(self.loss(leaves, of), leaves)
            stepped = [p + 2 * eps / 7 * s.sign() for p, s in zip(moved, slopes, strict=True)]
            boxed = [
                p + (q - p).clamp(-eps, eps) for p, q in zip(clean, stepped, strict=True)
            ]
            moved = [official_clip(p) for p in boxed]
        is_lower = bool(before > self.loss(moved, of))
        self.theirs.network.train()
        self.given_up += is_lower
        return clean if is_lower else moved

    def loss(self, weights, of) -> torch.Tensor:
        return self.theirs.loss(of, pairs(dict(zip(CELLS, weights, strict=True)), {}))

    def step(self, epoch: int, number: int) -> None:
        of = batch("weights", epoch, number)
        self.theirs.alpha_step(batch("alpha", epoch, number))
        weights = self.perturbed(epoch, of)
        self.theirs.weight_step(of, pairs(dict(zip(CELLS, weights, strict=True)), {}))


@pytest.mark.parametrize("method", ["sdarts-rs", "sdarts-adv"])
def test_steps_with_given_noise_are_the_official_ones(method, monkeypatch):
    draws = give_uniform(monkeypatch, random_and_adversarial)
    ours = search(search__method=method)
    theirs = Smooth(Reference(ours), draws, adversarial=method == "sdarts-adv")
    found = walk(ours, theirs.theirs, epochs=(1, 4), step=theirs.step)
    assert max(found.values()) < CLOSE, found
    assert draws.is_used_up()
    # The official space has no `none`.
    assert ours.space.candidates()["normal"][0][0] == "max_pool_3x3"
    assert ours.method.schedule_values(4)["radius"] == theirs.radius(4)


def test_an_ascent_that_ends_lower_than_it_began_is_given_up_on_both_sides(monkeypatch):
    """At a radius of 1 the simplex brings the ascent to worse places; the epochs count."""
    draws = give_uniform(monkeypatch, random_and_adversarial)
    monkeypatch.setattr(Smooth, "radius", lambda self, epoch: 1.0)
    ours = search(
        search__method="sdarts-adv", method__radius=1.0, method__radius_start=1.0,
        alpha__init_scale=4.0,
    )  # fmt: skip
    theirs = Smooth(Reference(ours), draws, adversarial=True)
    found = walk(ours, theirs.theirs, epochs=(1, 2), steps=range(1, 7), step=theirs.step)
    assert max(found.values()) < CLOSE, found
    assert 0 < theirs.given_up < 12
