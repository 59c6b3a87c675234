"""A validation part chooses the best epoch; the test part is looked at once, at the end."""

from pathlib import Path

import pytest
import torch
from data_kit import fill
from engine_kit import Engine, events_in, make_run, of_type

from darts_engine.data import dataset as datasets
from darts_engine.run import events
from darts_engine.run.errors import ExitCode
from darts_engine.training import trained


@pytest.fixture
def photos(tmp_path: Path) -> str:
    for place, (part, count) in enumerate((("train", 16), ("val", 6), ("test", 7))):
        fill(tmp_path / "photos" / part, count, first=1000 * place)
    return f"folder:{tmp_path / 'photos'}"


@pytest.mark.parametrize("nproc", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_validation_chooses_and_the_test_is_looked_at_once(runs, photos, nproc):
    run = make_run(runs, "one", "train", data__dataset=photos, train__epochs=3, weights__lr=0.1)
    engine = Engine(run, None, nproc)
    try:
        assert engine.wait(60) == ExitCode.OK, events_in(run)[-1:]
    finally:
        engine.kill()
    history = events_in(run)
    (begun,) = of_type(history, events.RunStarted)
    assert begun.images == {"train": 32, "valid": 12, "test": 14}
    said = [event.message for event in of_type(history, events.LogWritten)]
    assert (
        "2 classes (cat, dog), 32 training, 12 validation images from val/, 14 test images" in said
    )
    *_, finished = of_type(history, events.RunFinished)
    (measured,) = of_type(history, events.TestMeasured)
    assert (measured.epoch, measured.images) == (finished.best_epoch, 14)

    config = run.read_config()
    best = trained.of_run(run, "best", config)
    assert best.epoch == measured.epoch
    for part, top1 in (("valid", finished.best_top1), ("test", measured.test_top1)):
        images = datasets.read(config.data).parts[part]
        logits = best.logits(best.inputs.on(best.device).plain(images.images))
        right = (logits.argmax(1) == images.labels).float().mean()
        assert 100 * right.item() == pytest.approx(top1, abs=1e-3)
        if part == "test":
            loss = torch.nn.functional.cross_entropy(logits, images.labels).item()
            assert loss == pytest.approx(measured.test_loss, abs=1e-4)
