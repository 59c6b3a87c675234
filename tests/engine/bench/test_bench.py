"""The benchmark's own honesty: both sides do the same work, and its report has its form."""

import msgspec
import pytest
import torch
from forked_programs import fork_programs

from darts_engine.bench import memory, steps, timing
from darts_engine.bench.plain_search import PlainSearch
from darts_engine.layers.operations import PRIMITIVES
from darts_engine.methods.axes import architect
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.supernet import official_state
from darts_engine.supernet.plain import PlainSupernet
from darts_engine.supernet.supernet import Supernet


def test_ours_and_the_plain_supernet_agree_in_float64():
    assert steps.float64_difference() < 1e-10


@pytest.mark.parametrize("order", [1, 2])
def test_the_reference_takes_the_alpha_step_that_ours_takes(order):
    supernet = Supernet(channels=4, layers=3).double()
    plain = PlainSupernet(PRIMITIVES, 4, 4, 3, 3, 10).double()
    plain.load_state_dict(official_state.export(supernet))
    reference = PlainSearch(plain, [a.detach() for a in supernet.alphas.parameters()])
    changes = {
        "search.order": order,
        "weights.lr": reference.lr,
        "alpha.lr": 3e-4,
        "search.hvp_radius": 1e-6,
    }
    config = configs.override(SearchConfig(), changes)
    sgd = torch.optim.SGD(supernet.weights(), reference.lr, 0.9, weight_decay=3e-4)
    ours = architect(supernet, config, sgd)
    train, valid = (steps.random_batch(n, size=8, dtype=torch.float64) for n in (4, 6))
    gradients = ours.alpha_gradient(valid, train).gradients
    if order == 1:
        reference.first_order(*valid)
    else:
        reference.radius = 1e-6
        reference.second_order(train, valid)
    for mine, alpha in zip(gradients, reference.alphas, strict=True):
        assert torch.allclose(mine, alpha.grad, atol=1e-8)


def test_a_comparison_alternates_and_takes_pairwise_ratios():
    done = []
    works = {name: (lambda name=name: done.append(name)) for name in ("ours", "reference")}
    found = timing.compare(works, rounds=3)
    assert done == ["ours", "reference"] * 4
    assert found.rounds == 3
    assert {"ratio", "ours_s", "reference_s", "channels_last_reference_s"} <= set(
        msgspec.to_builtins(found)
    )


@pytest.mark.slow
def test_a_weight_step_of_ours_needs_less_memory(monkeypatch):
    fork_programs(monkeypatch)
    assert memory.measure(2).ratio < 0.9
