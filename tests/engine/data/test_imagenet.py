"""Runs on a streamed tree of JPEGs, and on CIFAR-100's own files: whole engines."""

from pathlib import Path

import numpy as np
import pytest
from data_kit import binary_batch, jpeg_tree, pictures, serve_slowly
from engine_kit import Engine, events_in, make_run, of_type, outcome, state_of

from darts_engine.run import commands, events
from darts_engine.run.folder import RunFolder

STREAMED = {"data__image_size": 16, "data__batch_size": 4, "data__flip": True,
            "data__color_jitter": 0.4, "checkpoint__checkpoint_seconds": 0.01}  # fmt: skip
IMAGENET_STEM = {"network__stem": "imagenet", "data__image_size": 64, "network__auxiliary": False}


def streamed_run(runs: Path, name: str, kind: str) -> RunFolder:
    tree = runs / "tree"
    if not tree.exists():
        jpeg_tree(tree, train=12, val=3)
    more = IMAGENET_STEM if kind == "train" else {}
    more = more | {f"{kind}__epochs": 2, "data__dataset": f"imagenet:{tree}"}
    return make_run(runs, name, kind, **(STREAMED | more))


@pytest.mark.parametrize("kind", [pytest.param("search", marks=pytest.mark.slow), "train"])
def test_a_streamed_run_that_is_killed_ends_as_one_that_was_not(runs: Path, kind: str) -> None:
    whole = streamed_run(runs, "whole", kind)
    assert Engine(whole).wait() == 0
    killed = streamed_run(runs, "killed", kind)
    for wanted in (2, 4):
        engine = Engine(killed)
        engine.until(lambda history, n=wanted: len(of_type(history, events.CheckpointSaved)) >= n)
        engine.kill()
    assert Engine(killed).wait() == 0
    # Nothing is rewound if it was killed before it had written anything after a checkpoint.
    assert len(of_type(events_in(killed), events.RunStarted)) == 3
    assert outcome(killed) == outcome(whole)


def test_an_unreadable_image_ends_a_run_by_name(runs: Path) -> None:
    run = streamed_run(runs, "broken", "train")
    image = next((runs / "tree" / "train" / "n01440764").iterdir())
    image.write_bytes(image.read_bytes()[:100])
    assert Engine(run).wait() == 4
    assert str(image) in state_of(run).failure.message


@pytest.mark.slow
def test_a_training_on_cifar100s_own_files(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    fine = np.arange(200) % 100
    batch = binary_batch(pictures(200), fine // 5, fine)
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(batch)
    cutout = {"data__crop_padding": 4, "data__cutout": 16, "data__cutout_prob": 0.5}
    run = make_run(runs, "cifar", "train", train__epochs=2, data__dataset="cifar100",
                   data__data_dir=str(tmp_path), data__batch_size=64, **cutout)  # fmt: skip
    assert Engine(run).wait() == 0
    state = state_of(run)
    assert len(state.started.classes) == 100
    assert len(state.epochs) == 2
    warnings = [
        f.message for f in of_type(events_in(run), events.LogWritten) if f.level == "warning"
    ]
    assert any("not the published cifar100: 200 and 200 images" in line for line in warnings)


def test_a_download_is_told_of_and_can_be_stopped(runs: Path, tmp_path: Path) -> None:
    dataset = {"data__dataset": "cifar10", "data__data_dir": str(tmp_path)}
    run = make_run(runs, "slow", "train", **dataset)
    engine = Engine(run, serve_slowly)
    engine.until(lambda history: of_type(history, events.DownloadProgressed))
    state = state_of(run)
    assert (state.phase, state.download.total_bytes) == ("starting", 1 << 20)
    run.send(commands.stamped(commands.Stop))
    assert engine.wait() == 0
    assert state_of(run).phase == "stopped"
