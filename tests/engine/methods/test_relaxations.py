"""Each relaxation against its equation."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.methods.architects.first_order import FirstOrder
from darts_engine.methods.regularisers.anchor_kl import anchor_kl
from darts_engine.methods.regularisers.beta_decay import beta_decay
from darts_engine.methods.regularisers.zero_one import zero_one
from darts_engine.methods.relaxations.dirichlet import Dirichlet
from darts_engine.methods.relaxations.gumbel import Gumbel
from darts_engine.methods.relaxations.sigmoid import Sigmoid
from darts_engine.methods.relaxations.softmax import Softmax
from darts_engine.run.settings.config import AlphaSection
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.supernet import Supernet


def draws(step: int = 0) -> torch.Generator:
    return streams.generator(0, "test", step)


def an_alpha(rows: int = 5, columns: int = 8, scale: float = 1.0) -> torch.Tensor:
    values = torch.randn(rows, columns, generator=streams.generator(1, "alpha"))
    return (scale * values).double().requires_grad_()


def test_softmax_and_sigmoid_are_what_they_are_called():
    alpha = an_alpha()
    assert torch.equal(Softmax().expected({"normal": alpha})["normal"], alpha.softmax(-1))
    mixing = Sigmoid().mix({"normal": alpha}, draws())
    assert torch.allclose(mixing.weights["normal"], 1 / (1 + (-alpha).exp()))


def test_gumbel_computes_one_operation_and_gives_all_a_gradient():
    alpha = an_alpha()
    gumbel = Gumbel(10.0, 0.1)
    gumbel.begin_epoch(3, 5)
    assert gumbel.tau == pytest.approx(10 - 9.9 * 2 / 4)
    mixing = gumbel.mix({"normal": alpha}, draws())
    weights = mixing.weights["normal"]
    assert mixing.active is not None
    columns = [active[0] for active in mixing.active["normal"]]
    expected = functional.one_hot(torch.tensor(columns), 8).double()
    assert torch.allclose(weights, expected, atol=1e-15)
    grad = torch.autograd.grad((weights * torch.randn(5, 8).double()).sum(), alpha)[0]
    assert (grad != 0).all()


@pytest.mark.parametrize("drawn_only", [True, False])
def test_the_gradient_of_the_straight_through_estimator_is_the_softmaxs(drawn_only: bool):
    alpha, gumbel = an_alpha(), Gumbel(2.0, 2.0, drawn_only=drawn_only)
    factors = torch.randn(5, 8).double()
    ours = torch.autograd.grad(
        (gumbel.mix({"c": alpha}, draws()).weights["c"] * factors).sum(), alpha
    )[0]
    noise = -torch.empty(5, 8).exponential_(generator=draws()).log()
    soft = ((alpha.log_softmax(-1) + noise.double()) / 2.0).softmax(-1)
    # Of the drawn operation alone, or of all.
    counted = functional.one_hot(soft.argmax(-1), 8) if drawn_only else torch.ones(5, 8)
    theirs = torch.autograd.grad((soft * factors * counted).sum(), alpha)[0]
    assert torch.allclose(ours, theirs, atol=1e-12)


def test_gumbel_validates_with_the_likeliest_operation_alone():
    alpha = an_alpha()
    mixing = Gumbel(1.0, 1.0).validated({"c": alpha})
    assert torch.equal(mixing.weights["c"].argmax(-1), alpha.argmax(-1))
    assert torch.equal(mixing.weights["c"].sum(-1), torch.ones(5).double())
    assert mixing.active == {"c": [(column,) for column in alpha.argmax(-1).tolist()]}


def test_gumbel_draws_with_the_odds_of_the_softmax():
    alpha = an_alpha(1, 4)
    gumbel = Gumbel(1.0, 1.0)
    counts = torch.zeros(4)
    for step in range(2000):
        active = gumbel.mix({"c": alpha.detach()}, draws(step)).active
        assert active is not None
        counts[active["c"][0][0]] += 1
    assert torch.allclose(counts / 2000, alpha.detach().softmax(-1)[0].float(), atol=0.04)


def test_dirichlet_draws_have_the_mean_and_variance_of_the_distribution():
    alpha = an_alpha(1, 4)
    relaxation = Dirichlet()
    sample = torch.stack(
        [relaxation.mix({"c": alpha}, draws(step)).weights["c"][0] for step in range(3000)]
    ).detach()
    concentration = functional.elu(alpha.detach()) + 1
    mean = concentration / concentration.sum()
    variance = mean * (1 - mean) / (concentration.sum() + 1)
    assert torch.allclose(sample.sum(-1), torch.ones(3000).double())
    assert torch.allclose(sample.mean(0), mean[0], atol=0.02)
    assert torch.allclose(sample.var(0), variance[0], atol=0.02)


def test_a_dirichlet_draw_has_the_librarys_gradient():
    concentration = torch.tensor([[0.5, 1.5, 3.0]]).double().requires_grad_()
    alpha = (concentration - 1).where(concentration > 1, concentration.log()).detach()
    alpha.requires_grad_()
    factors = torch.tensor([1.0, -2.0, 0.5]).double()
    drawn = Dirichlet().mix({"c": alpha}, draws()).weights["c"]
    ours = torch.autograd.grad((drawn * factors).sum(), alpha)[0]
    reference = torch.distributions.dirichlet._Dirichlet_backward(
        drawn.detach(), concentration.detach(), factors.expand(1, 3)
    )
    slope = torch.where(alpha > 0, torch.ones(1).double(), alpha.exp())
    assert torch.allclose(ours, reference * slope, rtol=1e-4)


def test_edges_are_ranked_by_the_softmax_or_by_the_mean():
    alpha = an_alpha()
    by_softmax, by_mean = (Dirichlet(ranks_by_mean=mean).strengths({"c": alpha})["c"]
                           for mean in (False, True))  # fmt: skip
    assert torch.equal(by_softmax, alpha.softmax(-1))
    assert torch.equal(by_mean, Dirichlet().expected({"c": alpha})["c"])
    assert torch.equal(by_softmax.argmax(-1), by_mean.argmax(-1))


def test_the_anchor_is_the_divergence_from_the_flat_dirichlet_distribution():
    alphas = {"normal": an_alpha(), "reduce": an_alpha(3, 8)}
    rows = functional.elu(torch.cat(list(alphas.values()))) + 1
    total = rows.sum(-1)
    # KL(Dirichlet(beta) || Dirichlet(1)), in closed form.
    each = (
        total.lgamma() - rows.lgamma().sum(-1) - torch.tensor(8.0).double().lgamma()
        + ((rows - 1) * (rows.digamma() - total.digamma()[:, None])).sum(-1)
    )  # fmt: skip
    assert torch.allclose(anchor_kl(alphas), each.sum())
    assert anchor_kl({"c": torch.zeros(2, 8).double()}) == pytest.approx(0, abs=1e-6)


def test_the_zero_one_loss_is_least_at_zero_and_one():
    alphas = {"normal": an_alpha(), "reduce": an_alpha(3, 8)}
    gates = torch.cat([torch.sigmoid(a).reshape(-1) for a in alphas.values()])
    assert torch.allclose(zero_one(alphas), -((gates - 0.5) ** 2).mean())
    assert torch.allclose(zero_one(alphas, "l1"), -(gates - 0.5).abs().mean())
    decided = {"normal": torch.tensor([[50.0, -50.0]])}
    assert zero_one(decided) == pytest.approx(-0.25)


def test_beta_decay_is_the_mean_logsumexp_and_pulls_like_a_softmax():
    alphas = {"normal": an_alpha(), "reduce": an_alpha(3, 8)}
    rows = torch.cat(list(alphas.values()))
    assert torch.allclose(beta_decay(alphas), rows.exp().sum(-1).log().mean())
    grad = torch.autograd.grad(beta_decay(alphas), alphas["normal"])[0]
    assert torch.allclose(grad, alphas["normal"].softmax(-1) / 8)


def test_a_cell_behind_which_nothing_is_computed_has_no_gradient():
    supernet = Supernet(channels=2, layers=3, nodes=2, in_channels=1)
    nothing = {"normal": [(0,)] * 5, "reduce": [(0,)] * 5}
    supernet.relax = lambda: Mixing(supernet.alphas.mixing(), active=nothing)
    architect = FirstOrder(supernet, AlphaSection(), nullcontext)
    batch = torch.ones(4, 1, 8, 8), torch.arange(4)
    normal, _ = architect.alpha_gradient(batch, batch).gradients
    assert torch.equal(normal, torch.zeros_like(normal))
