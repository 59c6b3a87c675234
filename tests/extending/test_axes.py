"""A regulariser and a perturbation of a package, in a search."""

from pathlib import Path

import pytest
import torch
from package_kit import install
from parallel_kit import images

from darts_engine.compute import device as devices
from darts_engine.run.errors import ExtensionError
from darts_engine.run.extensions import PERTURBATIONS, REGULARISERS
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.search.task import Search

TERMS = """
def squares(config):
    return lambda alphas: sum(alpha.square().sum() for alpha in alphas.values())


def broken(config):
    return {}["x"]


class Blur:
    def __init__(self, config):
        self._end = config.method.radius

    def radius(self, epoch, epochs):
        return self._end * epoch / epochs

    def perturb(self, weights, losses, radius, draws):
        return {cell: (1 - radius) * w + radius / w.shape[-1] for cell, w in weights.items()}
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        REGULARISERS: {"squares": "own_terms:squares", "broken": "own_terms:broken"},
        PERTURBATIONS: {"blur": "own_terms:Blur"},
    }
    install(tmp_path, "terms", {"own_terms.py": TERMS}, points)
    monkeypatch.syspath_prepend(str(tmp_path))


def stepped(**method: object) -> tuple[Search, list[torch.Tensor], list[torch.Tensor]]:
    """A search after one step: itself, its alphas and its weights."""
    asked = {"data.batch_size": 8, "space.channels": 4, "space.layers": 3, "space.nodes": 2,
             "search.epochs": 4, "engine.device": "cpu", "search.alpha_warmup": 0.0,
             "alpha.init_scale": 1.0}  # fmt: skip
    asked |= {f"method.{key}": value for key, value in method.items()}
    config = configs.override(SearchConfig(), asked)
    assert isinstance(config, SearchConfig)
    search = Search(config, images(64), devices.choose(config.engine))
    search.begin_epoch(2)
    search.step(2, 1)
    alphas = [alpha.detach().clone() for alpha in search.supernet.alphas.parameters()]
    return search, alphas, [w.detach().clone() for w in search.supernet.weights()]


def test_a_fault_of_a_package_is_reported_with_its_line(installed: None) -> None:
    with pytest.raises(ExtensionError) as caught:
        stepped(regulariser="broken")
    assert "the regulariser 'broken' fails: KeyError: 'x' (" in caught.value.what
    assert "own_terms.py:7)" in caught.value.what
    assert "terms 1.0" in caught.value.where


def test_they_act_on_alpha_and_on_the_weights(installed: None) -> None:
    _, plain_alphas, plain_weights = stepped()
    search, alphas, _ = stepped(regulariser="squares", regulariser_weight=100.0)
    assert search.method.schedule_values(2)["regulariser"] == 100.0
    assert not all(map(torch.equal, alphas, plain_alphas))
    search, alphas, weights = stepped(perturbation="blur", radius=0.5)
    assert search.method.schedule_values(2)["radius"] == 0.25
    assert all(map(torch.equal, alphas, plain_alphas))
    assert not all(map(torch.equal, weights, plain_weights))
