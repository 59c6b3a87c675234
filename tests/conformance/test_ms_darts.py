"""MS-DARTS: steps at shifted mixing weights, against the official rule and the documented one.

github.com/aaron851113/MS-DARTS, commit 61a16935, `Mean_Shift_alpha` of attacker/perturb_ms.py.
"""

import math

import pytest
import torch

from darts_engine.methods.perturbations import mean_shift
from tests.conformance.given_draws import Uniform, give_uniform
from tests.conformance.official_cells import CELLS, pairs
from tests.conformance.steps_kit import Reference, batch, search, walk
from tests.conformance.test_sdarts import official_clip

CLOSE = 1e-12
SAMPLES, SHIFTS, BANDWIDTH, RADIUS = 3, 2, 1.0, 0.25


class Shifted:
    """A reference whose weights learn at mixing weights after two mean shifts.

    Official: samples are weighed by the loss of the training batch, the mean is over the samples
    before they were put onto the simplex, and it is not put there. Otherwise: the loss of the alpha
    batch, and both on the simplex. Either way the factor of a sample is the softmax of the losses
    over the samples, and a Gaussian kernel of its distance in each cell type by itself.
    """

    def __init__(self, theirs: Reference, draws: Uniform, *, official: bool) -> None:
        self.theirs, self.draws, self.is_official = theirs, draws, official
        self.off_simplex = 0.0

    def perturbed(self, epoch: int, number: int) -> list[torch.Tensor]:
        of = batch("weights" if self.is_official else "alpha", epoch, number)
        eps = RADIUS / 10 + 0.9 * RADIUS * (epoch - 1) / self.theirs.config.search.epochs
        here = [torch.softmax(self.theirs.alphas[cell].detach(), -1) for cell in CELLS]
        self.theirs.network.eval()
        for _ in range(SHIFTS):
            here = self.shifted(here, eps, of)
        self.theirs.network.train()
        return here

    @torch.no_grad()
    def shifted(self, here, eps, of) -> list[torch.Tensor]:
        losses, samples, kernels = [], [], []
        for _ in range(SAMPLES):
            drawn = [p + eps * self.draws(p.shape) for p in here]
            clipped = [official_clip(p) for p in drawn]
            mixing = pairs(dict(zip(CELLS, clipped, strict=True)), {})
            losses.append(float(self.theirs.loss(of, mixing)))
            samples.append(drawn if self.is_official else clipped)
            kernels.append(
                [
                    math.exp(-0.5 * (float((p - q).norm()) / BANDWIDTH) ** 2)
                    / (BANDWIDTH * math.sqrt(2 * math.pi))
                    for p, q in zip(here, clipped, strict=True)
                ]
            )
        powers = [math.exp(loss - max(losses)) for loss in losses]
        omega = [power / sum(powers) for power in powers]
        moved = []
        for cell in range(len(CELLS)):
            factors = [omega[n] * kernels[n][cell] for n in range(SAMPLES)]
            above = sum(f * samples[n][cell] for n, f in enumerate(factors))
            mean = above / sum(factors)
            self.off_simplex = max(self.off_simplex, float((mean.sum(-1) - 1).abs().max()))
            moved.append(mean if self.is_official else official_clip(mean))
        return moved

    def step(self, epoch: int, number: int) -> None:
        # Alpha rests in the first eighth of the epochs, 5 of 40 as published.
        if epoch > self.theirs.config.search.epochs // 8:
            self.theirs.alpha_step(batch("alpha", epoch, number))
        weights = self.perturbed(epoch, number)
        mixing = pairs(dict(zip(CELLS, weights, strict=True)), {})
        self.theirs.weight_step(batch("weights", epoch, number), mixing)


@pytest.mark.parametrize("official", [True, False], ids=["official", "documented"])
def test_steps_with_given_noise_are_those_of_the_formula(official, monkeypatch):
    draws = give_uniform(monkeypatch, mean_shift)
    ours = search(search__method="ms-darts", method__ms_official=official, search__epochs=8)
    theirs = Shifted(Reference(ours), draws, official=official)
    found = walk(ours, theirs.theirs, epochs=(1, 2, 8), step=theirs.step)
    assert max(found.values()) < CLOSE, found
    assert draws.is_used_up()
    # Rows of the official result do not sum to 1; the documented one is scaled back.
    assert (theirs.off_simplex > 0.01) == official
