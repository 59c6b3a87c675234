"""Weights that cannot fit are refused before one of them is made."""

from pathlib import Path

import pytest
import torch
from engine_kit import Engine, events_in, make_run

from darts_engine.memory import weights
from darts_engine.run import events
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import ExitCode, TooLargeError
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import KINDS
from darts_engine.supernet.supernet import Supernet

CPU = torch.device("cpu")
DERIVED = published()["DARTS_V2"].genotype.text()


def look(kind, changes):
    config = configs.override(KINDS[kind](), changes)
    weights.check_weights_fit(config, (3, 32, 32), 10, CPU)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("search", {"space.channels": 40_000, "space.nodes": 1}),
        ("search", {"space.channels": 10**9, "space.nodes": 1}),
        ("train", {"network.channels": 200_000, "network.genotype": DERIVED}),
        ("train", {"network.network": "wrn-100-100"}),
    ],
    ids=["supernet", "past counting", "derived network", "wide ResNet"],
)
def test_weights_that_cannot_fit_are_refused(kind, changes, monkeypatch):
    monkeypatch.setattr(weights, "available", lambda _device: 5 * 10**9)
    with pytest.raises(TooLargeError, match="the weights alone need") as caught:
        look(kind, changes)
    assert caught.value.exit_code == ExitCode.OUT_OF_MEMORY
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("fits", [True, False])
def test_what_is_counted_are_the_weights_and_their_copies(fits, monkeypatch):
    supernet = Supernet(nodes=1, channels=8, layers=3, in_channels=3, classes=10)
    size = 3 * 4 * sum(w.numel() for w in supernet.parameters())
    monkeypatch.setattr(weights, "available", lambda _device: size - (not fits))
    changes = {"space.channels": 8, "space.layers": 3, "space.nodes": 1}
    if fits:
        look("search", changes)
    else:
        with pytest.raises(TooLargeError):
            look("search", changes)


@pytest.mark.slow
def test_a_run_with_too_many_channels_ends_at_once_in_three_lines(runs: Path) -> None:
    run = make_run(runs, "wide", space__channels=40_000)
    assert Engine(run).wait() == ExitCode.OUT_OF_MEMORY
    last = events_in(run)[-1]
    assert isinstance(last, events.RunFailed)
    assert last.exit_code == ExitCode.OUT_OF_MEMORY
    assert "weights alone" in last.message
    assert len(last.message.splitlines()) == 3
