"""DrNAS: draws, steps, ranking, anchor and learning rate against the official rule.

github.com/xiangning-chen/DrNAS, commit 7f3b5df9, DARTS-space/model_search.py and architect.py, and
commit 68bbcbf9, DARTS-space/train_search.py. The engine draws from a generator, the reference by
`torch.distributions`; both get the same sample.
"""

import math

import numpy as np
import pytest
import torch
from tests.conformance.given_draws import give_dirichlet
from tests.conformance.official_cells import CELLS, pairs
from tests.conformance.steps_kit import Reference, batch, search, walk
from torch.distributions import Dirichlet, kl_divergence
from torch.nn import functional

from darts_engine.methods.regularisers.anchor_kl import anchor_kl
from darts_engine.methods.relaxations import dirichlet

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

CLOSE = 1e-12
# Ours adds 1e-7 to every concentration, so that none is 0. Gradients differ by as much, as parts of
# the largest; without the offset they do not.
OFFSET = {1e-7: 1e-6, 0.0: CLOSE}


def concentration(alpha: torch.Tensor) -> torch.Tensor:
    """elu(alpha) + 1: 1 + alpha above 0, e to the alpha below."""
    return torch.where(alpha > 0, 1 + alpha, alpha.clamp(max=0).exp())


def sampled(alphas):
    return pairs({c: Dirichlet(concentration(alphas[c])).rsample() for c in CELLS}, {})


def divergence(alphas):
    """From the uniform distribution over each edge's simplex, summed over the edges."""
    each = []
    for cell in CELLS:
        beta = concentration(alphas[cell])
        each.append(kl_divergence(Dirichlet(beta), Dirichlet(torch.ones_like(beta))).sum())
    return each[0] + each[1]


@pytest.mark.parametrize("smallest", OFFSET)
def test_a_draw_and_its_gradient_are_those_of_torchs_distributions(smallest, monkeypatch):
    monkeypatch.setattr(dirichlet, "SMALLEST", smallest)
    waiting = give_dirichlet(monkeypatch)
    worst = 0.0
    for seed in range(20):
        draws = torch.Generator().manual_seed(seed)
        alpha = torch.randn(14, 7, generator=draws, dtype=torch.float64).requires_grad_()
        factors = torch.randn(14, 7, generator=draws, dtype=torch.float64)
        ours = dirichlet.Dirichlet().mix({"normal": alpha}, draws).weights["normal"]
        theirs = Dirichlet(concentration(alpha)).rsample()
        assert waiting() == 0
        assert torch.equal(ours, theirs)
        left, right = (torch.autograd.grad((w * factors).sum(), alpha)[0] for w in (ours, theirs))
        worst = max(worst, float((left - right).abs().max() / right.abs().max()))
    assert worst < OFFSET[smallest]


@pytest.mark.parametrize("anchor", ["l2", "kl"])
def test_steps_with_given_draws(anchor, monkeypatch):
    """Seven candidates; anchored by alpha's weight decay or by 1e-3 times the divergence."""
    monkeypatch.setattr(dirichlet, "SMALLEST", 0.0)
    waiting = give_dirichlet(monkeypatch)
    changes = {"method__regulariser": "anchor-kl", "method__regulariser_weight": 1e-3,
               "alpha__weight_decay": 0.0}  # fmt: skip
    ours = search(search__method="drnas", **(changes if anchor == "kl" else {}))
    theirs = Reference(ours, mix=sampled)
    assert theirs.alphas["normal"].shape == (5, 7)
    assert theirs.adam.param_groups[0]["weight_decay"] == (1e-3 if anchor == "l2" else 0)

    def step(epoch, number):
        penalty = (lambda alphas: 1e-3 * divergence(alphas)) if anchor == "kl" else None
        theirs.alpha_step(batch("alpha", epoch, number), penalty)
        theirs.weight_step(batch("weights", epoch, number))

    found = walk(ours, theirs, step=step)
    assert max(found.values()) < CLOSE, found
    assert waiting() == 0


def test_the_anchor_is_the_divergence_from_the_uniform_distribution(monkeypatch):
    monkeypatch.setattr(dirichlet, "SMALLEST", 0.0)
    for seed in range(20):
        draws = torch.Generator().manual_seed(seed)
        alphas = {
            cell: torch.randn(14, 7, generator=draws, dtype=torch.float64).requires_grad_()
            for cell in CELLS
        }
        ours, theirs = anchor_kl(alphas), divergence(alphas)
        assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=CLOSE)
        left, right = (torch.autograd.grad(v, list(alphas.values())) for v in (ours, theirs))
        for one, other in zip(left, right, strict=True):
            assert (one - other).abs().max() < CLOSE * other.abs().max()
        # The same in closed form, of a Dirichlet distribution of O components against ones.
        beta = torch.cat([concentration(alphas[cell].detach()) for cell in CELLS])
        total = beta.sum(-1)
        by_hand = total.lgamma() - beta.lgamma().sum(-1) - math.lgamma(7)
        by_hand += ((beta - 1) * (beta.digamma() - total.digamma()[:, None])).sum(-1)
        assert float(by_hand.sum()) == pytest.approx(float(theirs.detach()), rel=1e-12)


def official_cell(alpha: torch.Tensor, names: list[str]) -> list[tuple[str, int]]:
    """The two edges of each node with the largest softmax(alpha), and their operations."""
    rows, parts, start = functional.softmax(alpha, -1).tolist(), [], 0
    for inputs in range(2, 6):
        node = rows[start : start + inputs]
        best = sorted(range(inputs), key=lambda source: max(node[source]), reverse=True)[:2]
        parts += [(names[node[s].index(max(node[s]))], s) for s in best]
        start += inputs
    return parts


def test_edges_are_ranked_by_softmax_and_by_the_mean_otherwise():
    changed = np.zeros(2, int)
    softmax, mean = (
        search(search__method="drnas", space__nodes=4, space__channels=2, **changes)
        for changes in ({}, {"method__edge_ranking": "mean"})
    )
    names = softmax.space.candidates()["normal"][0]
    assert len(names) == 7
    assert "none" not in names
    for seed in range(500):
        draws = torch.Generator().manual_seed(seed)
        alpha = 0.3 * torch.randn(2, 14, 7, generator=draws, dtype=torch.float64)
        found = []
        for task in (softmax, mean):
            with torch.no_grad():
                for cell, values in zip(CELLS, alpha, strict=True):
                    getattr(task.supernet.alphas, cell).copy_(values)
            found.append(task.space.derive(task.method.strengths()))
        assert list(found[0].normal) == official_cell(alpha[0], names)
        assert list(found[0].reduce) == official_cell(alpha[1], names)
        changed += np.array([found[0].normal != found[1].normal, found[0] != found[1]])
    assert 200 < changed[0] < changed[1] < 480


def test_the_learning_rate_is_one_cosine_over_all_stages_or_one_in_each():
    """Official: `CosineAnnealingLR` over the sum of both stages' epochs, from 0.1 to 0."""
    stages = {"method__schedule": "staged", "method__stage_layers": "0,0",
              "method__stage_candidates": "7,4", "method__stage_skip_dropout": "0,0",
              "search__epochs": 50, "weights__lr": 0.1, "weights__lr_min": 0.0}  # fmt: skip
    rates = {}
    for name in ("continue", "restart"):
        chosen = {} if name == "continue" else {"method__stage_lr": name}
        task = search(search__method="drnas", **stages, **chosen, space__channels=2)
        spans = {span.name: span.values for span in task.schedules()}
        rates[name] = spans["lr_weights"]

    def official(e: int, epochs: int) -> float:
        return 0.1 * (1 + math.cos(math.pi * e / epochs)) / 2

    assert rates["continue"] == pytest.approx([official(e, 50) for e in range(50)], abs=1e-15)
    assert rates["restart"] == pytest.approx([official(e % 25, 25) for e in range(50)], abs=1e-15)
