"""Recipes from the command line to the last event, on files in the published formats."""

import numpy as np
import pytest
from data_kit import binary_batch, jpeg_tree, pictures
from engine_kit import state_of
from house_kit import events_of

from darts_engine.run import events

ONE = ("--threads", 1, "--device", "cpu", "--progress", "plain")


@pytest.mark.slow
def test_the_wide_resnets_recipe_trains_on_cifar_100s_files(house):
    folder = house.home / "data" / "cifar-100-binary"
    folder.mkdir(parents=True)
    for name, count in (("train.bin", 260), ("test.bin", 120)):
        fine = np.arange(count) % 100
        images = pictures(count, seed=count)
        (folder / name).write_bytes(binary_batch(images, fine // 5, fine))
    said = house.cli(
        *("train", "--name", "one", "--recipe", "wrn-sam-cifar100", "--network", "wrn-10-1"),
        *("--epochs", 2, "--data-dir", house.home / "data", *ONE),
    )
    assert said.returncode == 0, said.stderr
    run = house.run("one")
    state = state_of(run)
    (started,) = events_of(run, events.RunStarted)
    assert (state.phase, len(state.epochs), started.steps_per_epoch) == ("finished", 2, 3)
    assert len(started.classes) == 100
    assert started.config["basis"] == {"recipe": "wrn-sam-cifar100"}
    # 200 epochs' milestones at 20, 50, 70 and 85 %, in two epochs: two are passed by the second.
    (rates,) = [span.values for span in started.schedules if span.name == "lr_weights"]
    assert rates == pytest.approx([0.1, 0.1 * 0.2**2])


@pytest.mark.slow
def test_the_imagenet_recipe_trains_on_a_tree_of_jpegs(house):
    jpeg_tree(house.home / "tree")
    said = house.cli(
        *("train", "--name", "one", "--recipe", "darts-imagenet", "--epochs", 1, "--channels", 4),
        *("--layers", 3, "--batch-size", 6, "--workers", 1),
        *("--dataset", f"imagenet:{house.home / 'tree'}", *ONE),
    )
    assert said.returncode == 0, said.stderr
    run = house.run("one")
    (started,) = events_of(run, events.RunStarted)
    assert (started.image_shape, started.classes) == ([3, 224, 224], ["n01440764", "n01443537"])
    assert (state_of(run).phase, started.steps_per_epoch) == ("finished", 2)
