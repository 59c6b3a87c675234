"""A validation part chooses the best epoch; the test part is looked at once, at the end."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_kit import fill
from engine_kit import Engine, events_in, make_run, of_type
from PIL import Image

from darts_engine.data import dataset as datasets
from darts_engine.data.augment import normalisation
from darts_engine.data.dataset import Dataset, Part
from darts_engine.programs import predict
from darts_engine.run import events
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import ExitCode
from darts_engine.run.settings import config
from darts_engine.runner.position import Position
from darts_engine.search.task import Search
from darts_engine.training import trained
from darts_engine.training.inputs import Inputs
from darts_engine.training.task import Train


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


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_class_that_is_not_validated_raises_one_alert(kind):
    """40 cats and 1 dog: without a word, the figure would be 100 % whatever becomes of dogs."""
    images = torch.randint(0, 256, (41, 8, 8, 3), dtype=torch.uint8)
    part = Part(images, torch.tensor([0] * 40 + [1]))
    found = Dataset("pets", ["cat", "dog"], *datasets.split_off_test(part))
    section = {"search": "space", "train": "network"}[kind]
    asked = {"data.batch_size": 8, f"{section}.channels": 2, f"{section}.layers": 3}
    if kind == "train":
        asked["network.genotype"] = published()["DARTS_V2"].genotype.text()
    made = config.override(config.KINDS[kind](), asked)
    task = (Train if kind == "train" else Search)(made, found, torch.device("cpu"))
    opened = task.opening(Position())
    (alert,) = [event for event in opened if isinstance(event, events.AlertRaised)]
    assert alert.code == "unseen_class"
    assert alert.message == "class dog has 1 training image and none to validate on"
    assert opened[0].message.startswith("2 classes (cat, dog), 33 training, 8 test images")


def test_pictures_of_12_bits_are_labelled_as_the_network_was_trained(tmp_path):
    deep = np.linspace(0, 3500, 36).astype(np.uint16).reshape(6, 6)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(5):
            Image.fromarray(deep).save(tmp_path / name / f"{k}.png")
    found = datasets.load(f"folder:{tmp_path}")
    norm = normalisation(found, torch.device("cpu"))
    inputs = Inputs.of_state(Inputs.of(found, norm).state())
    assert inputs.white == 4095
    assert torch.equal(predict._read(tmp_path / "cat" / "0.png", inputs), found.train.images[0])
