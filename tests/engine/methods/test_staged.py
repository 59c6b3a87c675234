"""P-DARTS: the published plan, what is dropped, and a search that is resumed in any stage."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from darts_engine.compute import device as devices
from darts_engine.data import dataset as datasets
from darts_engine.methods.schedules import staged
from darts_engine.run.architecture import derivation
from darts_engine.run.errors import ConfigError
from darts_engine.run.events import AlphaSampled, LogWritten
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.search.task import Search

STEPS = (1, 2)


def a_config(changes: dict[str, object]) -> SearchConfig:
    config = configs.override(SearchConfig(), {"search.method": "p-darts"} | changes)
    assert isinstance(config, SearchConfig)
    return config


def a_search(images: Path, changes: dict[str, object]) -> Search:
    if not images.exists():
        levels = np.random.default_rng(0).integers(0, 255, (64, 8, 8))
        np.savez(images, images=levels.astype(np.uint8), labels=np.arange(64) % 4)
    small = {"data.batch_size": 16, "space.channels": 4, "space.layers": 3, "space.nodes": 1,
             "engine.threads": 1, "engine.device": "cpu", "search.epochs": 3,
             "method.stage_layers": "0,1,2"}  # fmt: skip
    config = a_config(small | changes)
    return Search(config, datasets.load(f"npz:{images}"), devices.choose(config.engine))


def an_epoch(search: Search, epoch: int) -> list[object]:
    search.begin_epoch(epoch)
    for step in STEPS:
        search.step(epoch, step)
    position = Position(epoch=epoch, step=2, global_step=2 * epoch)
    return list(search.finish_epoch(position, Timing()))


def test_seventy_five_epochs_are_the_published_stages():
    plan = staged.stages(a_config({"search.epochs": 75, "space.layers": 5}))
    assert [(s.first, s.epochs, s.resting) for s in plan] == [
        (1, 25, 10), (26, 25, 10), (51, 25, 10)]  # fmt: skip
    assert [(s.more_layers, s.candidates) for s in plan] == [(0, 8), (6, 5), (12, 3)]
    last = plan[2]
    # The code's rates: r (E - e - 1) / E while alpha rests, then r exp(-0.2 (e - 10)).
    assert last.skip_dropout(51) == pytest.approx(0.7 * 24 / 25)
    assert last.skip_dropout(60) == pytest.approx(0.7 * 15 / 25)
    assert last.skip_dropout(64) == pytest.approx(0.7 * math.exp(-0.2 * 3))
    assert [staged.stage_of(plan, epoch).number for epoch in (1, 25, 26, 51, 75)] == [0, 0, 1, 2, 2]


def test_the_weakest_candidates_of_each_edge_go_and_the_others_keep_their_order():
    names = {"normal": [["a", "b", "c"], ["x", "y", "z"]]}
    weights = {"normal": [[0.3, 0.1, 0.6], [0.2, 0.4, 0.4]]}
    assert staged.narrowed(names, weights, 2) == {"normal": [["a", "c"], ["y", "z"]]}
    assert staged.narrowed(names, weights, 9) == names


def test_a_stage_is_deeper_has_fewer_candidates_and_begins_anew(tmp_path: Path):
    search = a_search(tmp_path / "images.npz", {})
    reason = an_epoch(search, 1)
    for epoch in (2, 3):
        before, weights = (
            search.supernet.design.candidates("normal"),
            search.method.strengths()["normal"],
        )
        search.begin_epoch(epoch)
        assert search.supernet.alphas.normal.abs().max() < 10 * search.config.alpha.init_scale
        left = search.supernet.design.candidates("normal")
        for was, now, row in zip(before, left, weights.tolist(), strict=True):
            strength = dict(zip(was, row, strict=True))
            dropped = max(strength[name] for name in was if name not in now)
            assert min(strength[name] for name in now) >= dropped
        reason += an_epoch(search, epoch)
    assert len(search.supernet.cells) == 5
    assert search.supernet.alphas.normal.shape == (2, 3)
    lines = [event.message.split(":")[0] for event in reason if isinstance(event, LogWritten)]
    assert lines == ["stage 2 of 3 begins with epoch 2", "stage 3 of 3 begins with epoch 3"]
    # The heatmap keeps its eight columns, and shows nothing where a candidate is gone.
    sampled = [event.weights["normal"][0] for event in reason if isinstance(event, AlphaSampled)]
    assert [sum(v is not None for v in row) for row in sampled] == [8, 5, 3]
    assert [len(cell.operations) for cell in search.space.layout()] == [8, 8]
    assert search.finish(0.0).genotype is not None


@pytest.mark.parametrize("at", [(1, 2), (2, 1)], ids=["between stages", "within the second"])
def test_a_search_is_resumed_bit_for_bit_in_any_stage(at: tuple[int, int], tmp_path: Path):
    images = tmp_path / "images.npz"
    search, state = a_search(images, {}), {}
    for epoch in (1, 2):
        search.begin_epoch(epoch)
        for step in STEPS:
            search.step(epoch, step)
            if (epoch, step) == at == (2, 1):
                state = copy.deepcopy(search.state())
        search.finish_epoch(Position(epoch=epoch, step=2, global_step=2 * epoch), Timing())
        if (epoch, 2) == at:
            state = copy.deepcopy(search.state())

    resumed = a_search(images, {})
    resumed.load_state(state)
    resumed.begin_epoch(2)
    for step in STEPS:
        if (2, step) > at:
            resumed.step(2, step)
    resumed.finish_epoch(Position(epoch=2, step=2, global_step=4), Timing())
    ours, theirs = search.supernet.state_dict(), resumed.supernet.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert resumed.space.candidates() == search.space.candidates()


def test_alpha_rests_at_each_stages_beginning_and_the_learning_rate_starts_over(tmp_path: Path):
    search = a_search(tmp_path / "images.npz", {"search.epochs": 15})
    spans = {span.name: span.values for span in search.describe()["schedules"]}
    assert [rate > 0 for rate in spans["lr_alpha"]] == 3 * [False, False, True, True, True]
    assert spans["lr_weights"][:5] == spans["lr_weights"][5:10] == spans["lr_weights"][10:]
    assert spans["skip_dropout"][:5] == [0.0] * 5
    falling = [0.7 * 4 / 5, 0.7 * 3 / 5, 0.7, 0.7 * math.exp(-1), 0.7 * math.exp(-2)]
    assert spans["skip_dropout"][10:] == pytest.approx(falling)


def test_memory_is_that_of_the_largest_stage(tmp_path: Path):
    images, batch = tmp_path / "images.npz", 16
    deep = a_search(images, {"method.stage_layers": "0,1,9"}).footprint().of(batch)
    assert deep > a_search(images, {"method.stage_layers": "0,1,2"}).footprint().of(batch)


def test_the_clip_limits_alphas_whole_gradient(tmp_path: Path):
    search = a_search(tmp_path / "images.npz", {"method.alpha_clip": 5.0})
    given: list[torch.Tensor] = []
    search.method.architect.move = given.extend  # type: ignore[assignment,method-assign]
    search.method.move([torch.full((2, 8), 30.0), torch.zeros(2, 8)])
    assert torch.stack([g.norm() for g in given]).norm() == pytest.approx(5.0, rel=1e-4)
    assert search.method.grad_norm == pytest.approx(120.0)


def test_a_skip_limit_that_cannot_be_kept_ends_all_the_same():
    only_skips = [[0.5, 0.5], [0.4, 0.6]]
    found = derivation.derive_skip_limited(only_skips, ("none", "skip_connect"), most=1)
    assert [name for name, _ in found] == ["skip_connect", "skip_connect"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method.stage_layers": "0,6"}, "one length"),
        ({"method.stage_candidates": "8,5,1"}, "two are the fewest"),
        ({"search.epochs": 2}, "too few for 3 stages"),
        ({"engine.compile": True}, "only the first would be compiled"),
    ],
)
def test_stages_that_cannot_be_are_refused(changes: dict[str, object], reason: str):
    with pytest.raises(ConfigError, match=reason):
        a_config(changes)
