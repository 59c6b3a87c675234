"""`darts-tui evaluate`: the run's own figures again, other images, and weights from elsewhere."""

import csv
import json
import os
import shutil

import msgspec
import numpy as np
import pytest
import torch
from engine_kit import Engine, make_run, state_of

from darts_engine.data import dataset as datasets
from darts_engine.networks import official_state
from darts_engine.programs import evaluate
from darts_engine.run.answers import Evaluation
from darts_engine.run.errors import CheckpointError, DataError, NotFoundError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config as configs
from darts_engine.training import trained


def figures(found):
    return found.test_loss, found.test_top1, found.test_top5


def validated(done):
    return done.valid_loss, done.valid_top1, done.valid_top5


def with_dataset(run, path):
    return configs.override(run.read_config(), {"data.dataset": f"npz:{path}"})


def test_the_best_checkpoint_gives_what_its_epoch_validated_as_json_table_and_picture(
    run, darts, tmp_path
):
    best = state_of(run).best
    result = darts("evaluate", run.path, "--json", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert list(found)[:4] == ["test_loss", "test_top1", "test_top5", "per_class"]
    assert (found["test_loss"], found["test_top1"]) == (best.valid_loss, best.valid_top1)
    assert found["test_top5"] == best.valid_top5
    assert list(found["per_class"]) == ["0", "1", "2", "3"]
    assert {file.rsplit(".")[-1] for file in found["files"]} == {"csv", "svg", "png"}
    rows = list(csv.reader((tmp_path / "out" / "trained-confusion.csv").read_text().splitlines()))
    counts = [[int(cell) for cell in row[1:]] for row in rows[1:]]
    assert sum(map(sum, counts)) == found["images"] == 40
    right = sum(counts[place][place] for place in range(4))
    assert 100 * right / 40 == pytest.approx(found["test_top1"])


def test_the_last_checkpoint_gives_what_the_last_epoch_validated_while_an_engine_holds_the_run(run):
    lock = run.take_lock()
    before = sorted(path.name for path in run.path.rglob("*"))
    found = evaluate.training(run.read_config(), run, None, "last")
    assert figures(found) == validated(state_of(run).epochs[-1])
    assert (found.epoch, found.test_divergence) == (3, None)
    # With smoothed labels the divergence from them comes on top.
    smoothing = configs.override(run.read_config(), {"train.label_smoothing": 1e-9})
    smoothed = evaluate.training(smoothing, run, None, "last")
    assert figures(smoothed) == figures(found)
    assert smoothed.test_divergence == pytest.approx(found.test_loss, abs=1e-5)
    assert sorted(path.name for path in run.path.rglob("*")) == before
    os.close(lock)


def test_other_images_are_normalised_as_the_runs_and_their_classes_found_by_name(run, tmp_path):
    own = datasets.read(run.read_config().data)
    arrays = {
        "images": own.train.images[:40].numpy() // 2,
        "labels": 3 - own.train.labels[:40].numpy(),
        "test_images": own.test.images.numpy(),
        "test_labels": 3 - own.test.labels.numpy(),
        "classes": np.array(["3", "2", "1", "0"]),
    }
    np.savez(tmp_path / "other.npz", **arrays)
    there = evaluate.training(with_dataset(run, tmp_path / "other.npz"), run, None, "best")
    here = evaluate.training(run.read_config(), run, None, "best")
    assert figures(there) == figures(here)
    assert there.confusion == here.confusion
    assert list(there.per_class) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"classes": np.array(["0", "1", "2", "cat"])}, "does not know the class 'cat'"),
        ({"images": np.zeros((40, 8, 8, 3), np.uint8)}, "the images are 3x8x8"),
        ({"images": np.zeros((40, 16, 9), np.uint8)}, None),
    ],
)
def test_images_that_do_not_fit_are_refused_or_resized(run, tmp_path, change, reason):
    arrays = {"images": np.zeros((40, 8, 8), np.uint8), "labels": np.arange(40) % 4} | change
    np.savez(tmp_path / "other.npz", **arrays)
    config = with_dataset(run, tmp_path / "other.npz")
    if reason is None:
        assert evaluate.training(config, run, None, "best").images == 8
        return
    with pytest.raises(DataError, match=reason):
        evaluate.training(config, run, None, "best")


def test_weights_in_the_official_layout_give_the_same_with_and_without_a_run(run, tmp_path, darts):
    network = trained.of_run(run, "best", run.read_config()).network
    torch.save(official_state.export(network), tmp_path / "weights.pt")
    own = evaluate.training(run.read_config(), run, None, "best")
    from_file = evaluate.training(run.read_config(), run, tmp_path / "weights.pt", "best")
    alone = evaluate.training(run.read_config(), None, tmp_path / "weights.pt", "best")
    assert figures(own) == figures(from_file) == figures(alone)
    narrow = configs.override(run.read_config(), {"network.channels": 4})
    with pytest.raises(CheckpointError, match="shape"):
        evaluate.training(narrow, None, tmp_path / "weights.pt", "best")


@pytest.mark.slow
def test_a_supernet_is_evaluated_on_the_test_part(runs):
    folder = make_run(runs, "search", search__epochs=1)
    assert Engine(folder).wait() == 0
    found = evaluate.supernet(folder.read_config(), folder)
    assert (found.images, found.epoch) == (40, 1)
    assert found.test_loss is not None


def test_a_damaged_or_missing_checkpoint_is_refused(run, tmp_path):
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(run.path, copy.path)
    for path in copy.checkpoints.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="digest"):
        trained.of_run(copy, "best", copy.read_config())
    shutil.rmtree(copy.checkpoints)
    with pytest.raises(NotFoundError, match="no checkpoint yet"):
        trained.of_run(copy, "best", copy.read_config())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--weights", "w.pt"], "weights alone do not tell their network"),
        (["trained", "--channels", 8], "network.channels is not to be chosen"),
        (["trained", "--checkpoint", "first"], "there is no checkpoint 'first'"),
        (["trained", "--format", "gif"], "there is no format 'gif'"),
    ],
)
def test_nonsense_is_refused_before_the_work(run, darts, monkeypatch, arguments, reason):
    monkeypatch.setenv("DARTS_TUI_RUNS", str(run.path.parent))
    result = darts("evaluate", *arguments)
    assert result.code == 2
    assert result.error_lines[0].startswith(reason)
    assert len(result.error_lines) <= 3


def test_class_names_reach_the_terminal_harmlessly_and_the_worst_of_many_are_shown(
    run, darts, monkeypatch
):
    names = [f"\x1b[2J{number}" for number in range(30)]
    found = Evaluation(
        test_loss=None,
        test_top1=50.0,
        test_top5=90.0,
        per_class={name: 100.0 - number for number, name in enumerate(names)},
        images=900,
        confusion=[[30 * (row == (c + 1) % 30) for c in range(30)] for row in range(30)],
        dataset="digits",
        source="checkpoints/x.pt",
        epoch=3,
        test_divergence=0.50812,
    )
    answer = msgspec.json.encode(found)
    monkeypatch.setattr("darts_tui.commands.evaluate.run_with_config", lambda *_: answer)
    result = darts("evaluate", run.path, "--out", "out", "--format", "")
    assert result.code == 0, result.err
    assert "\x1b" not in result.out
    assert "the 20 worst of 30 classes" in result.out
    assert "\ndivergence   0.5081 nats\n" in result.out
    assert "␛[2J29" in result.out.split("most often")[1].splitlines()[1]
    assert not any(line.startswith("␛[2J9 ") for line in result.out.splitlines())
