"""The architect of first order, and the search step around it."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from darts_engine.data import dataset as datasets
from darts_engine.methods.architects.first_order import FirstOrder
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import AlphaSection, SearchConfig
from darts_engine.search.task import Search
from darts_engine.supernet.supernet import Supernet


def tiny(**changes):
    changes = {"data.batch_size": 64, "space.channels": 4, "space.layers": 3} | changes
    config = configs.override(SearchConfig(), {k.replace("__", "."): v for k, v in changes.items()})
    return Search(config, datasets.load("digits", 0), torch.device("cpu"))


def test_alpha_follows_the_gradient_of_its_loss_by_adams_rule():
    """One step against Adam written out: Kingma and Ba, 2015, with L2 in the gradient."""
    torch.manual_seed(0)
    supernet = Supernet(channels=4, layers=3, in_channels=1).double()
    section = AlphaSection(lr=0.03, beta1=0.5, beta2=0.999, weight_decay=1e-3)
    method = FirstOrder(supernet, section, nullcontext)
    x, y = torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4, 5])
    before = supernet.alphas.normal.detach().clone()
    expected = torch.autograd.grad(
        functional.cross_entropy(supernet(x), y), supernet.alphas.normal
    )[0]
    method.move(method.alpha_gradient((x, y), (x, y)).gradients)
    gradient = expected + 1e-3 * before
    m, v = 0.5 * gradient / (1 - 0.5), 0.001 * gradient**2 / (1 - 0.999)
    by_hand = before - 0.03 * m / (v.sqrt() + 1e-8)
    assert torch.allclose(supernet.alphas.normal, by_hand, atol=1e-12)


def test_the_alpha_step_moves_alpha_and_leaves_the_weights_bit_for_bit():
    search = tiny()
    weights = [w.clone() for w in search.supernet.weights()]
    alphas = [a.clone() for a in search.supernet.alphas.parameters()]
    search._alpha_step(search.halves.alpha_batch(1, 1), search.halves.weight_batch(1, 1), 1, 1)
    assert all(torch.equal(a, b) for a, b in zip(weights, search.supernet.weights(), strict=True))
    assert all(w.grad is None and w.requires_grad for w in search.supernet.weights())
    moved = zip(alphas, search.supernet.alphas.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in moved)


def test_the_weight_step_moves_the_weights_and_leaves_alpha():
    search = tiny()
    alphas = [a.clone() for a in search.supernet.alphas.parameters()]
    search.begin_epoch(1)
    search._weight_step(search.halves.weight_batch(1, 1), None, 1, 1)
    after = list(search.supernet.alphas.parameters())
    assert all(torch.equal(a, b) for a, b in zip(alphas, after, strict=True))
    assert all(a.grad is None for a in after)


def test_alpha_rests_before_its_first_epoch():
    search = tiny(search__alpha_start_epoch=2)
    before = search.supernet.alphas.normal.clone()
    assert search.begin_epoch(1)["lr_alpha"] == 0.0
    search.step(1, 1)
    assert torch.equal(before, search.supernet.alphas.normal)
    assert search.begin_epoch(2)["lr_alpha"] == search.config.alpha.lr
    search.step(2, 1)
    assert not torch.equal(before, search.supernet.alphas.normal)


def test_weight_gradients_are_clipped():
    search = tiny(weights__grad_clip=1e-3)
    search.begin_epoch(1)
    search._weight_step(search.halves.weight_batch(1, 1), None, 1, 1)
    squares = sum(float(w.grad.double().pow(2).sum()) for w in search.supernet.weights())
    assert math.sqrt(squares) == pytest.approx(1e-3, rel=1e-3)


def test_the_two_halves_share_no_image_and_have_every_class():
    train = datasets.load("digits", 0).train
    weights, alpha = datasets.halves(train)
    assert len(weights) + len(alpha) == len(train)
    counts = [half.labels.bincount(minlength=10) for half in (weights, alpha)]
    assert (counts[0] - counts[1]).abs().max() <= 1


def test_every_alpha_image_is_used_once_an_epoch():
    search = tiny()
    seen = [
        search.halves.alpha_batches.order.batch(3, step)
        for step in range(1, search.steps_per_epoch + 1)
    ]
    assert sorted(torch.cat(seen).tolist()) == list(range(len(search.halves.alpha_part)))
