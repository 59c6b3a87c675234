"""Streamed images: what is cut out, how colours change, and that any step can be done again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_kit import jpeg_tree, pictures
from PIL import Image

from darts_engine.data import dataset as datasets
from darts_engine.data.batches import Batches, augmentation, plain_batches
from darts_engine.data.jitter import jittered
from darts_engine.data.streaming import RandomBox, StreamedPart, middle
from darts_engine.run.errors import DataError
from darts_engine.run.settings.config import DataSection

CPU = torch.device("cpu")
SIZE = 24


@pytest.fixture(scope="module")
def reference():
    """torchvision's transforms. Not imported above, where every test worker would wait for it."""
    from torchvision.transforms import functional

    return functional


def section(tmp_path, **settings):
    asked = {"image_size": SIZE, "flip": True, "color_jitter": 0.4, "workers": 3} | settings
    return DataSection(dataset=f"imagenet:{tmp_path}", **asked)


@pytest.fixture
def tree(tmp_path):
    jpeg_tree(tmp_path)
    return tmp_path


def batches_of(tree, **settings):
    data = section(tree, **settings)
    found = datasets.read(data)
    return found, Batches(found.train, augmentation(data, found, CPU), 5, 7, "train")


def test_an_imagenet_like_tree_is_streamed(tree):
    found = datasets.read(section(tree))
    assert isinstance(found.train, StreamedPart)
    assert (len(found.train), len(found.valid), found.test) == (12, 4, None)
    assert found.classes == ["n01440764", "n01443537"]
    assert found.image_shape == (3, SIZE, SIZE)
    assert found.channel_statistics()[0].tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_a_tree_without_val_and_a_set_that_is_not_there_say_what_to_do(tmp_path):
    (tmp_path / "imagenet" / "train").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        datasets.read(DataSection(dataset="imagenet", data_dir=str(tmp_path)))
    assert str(tmp_path / "imagenet" / "val") in str(caught.value)
    assert "val/CLASS/IMAGE" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


def test_any_step_is_the_same_in_a_fresh_process_and_with_any_number_of_threads(tree):
    _, one = batches_of(tree)
    reported = {(e, s): one.batch(e, s) for e in (1, 2) for s in range(1, one.steps + 1)}
    assert one.steps == 3
    for place in [(2, 2), (1, 3), (2, 1)]:
        _, fresh = batches_of(tree, workers=1)
        for mine, theirs in zip(fresh.batch(*place), reported[place], strict=True):
            assert torch.equal(mine, theirs)
    assert not torch.equal(reported[1, 1][0], reported[2, 1][0])
    assert reported[1, 1][0].shape == (5, 3, SIZE, SIZE)
    assert reported[1, 1][0].is_contiguous(memory_format=torch.channels_last)


def test_only_the_next_batches_are_decoded_ahead(tree):
    _, batches = batches_of(tree)
    for step in (1, 2, 3, 4, 5):
        batches.batch(1, step)
        assert len(batches._ahead) <= 2
    assert not batches._ahead


def test_validation_sees_the_middle_as_the_official_code_does(tree, reference):
    found, _ = batches_of(tree)
    data = section(tree)
    seen = torch.cat([i for i, _ in plain_batches(found.valid, augmentation(data, found, CPU), 3)])
    path = found.valid.paths[0]
    image = Image.open(path).convert("RGB")
    resized = reference.resize(image, round(SIZE * 256 / 224))
    theirs = reference.center_crop(resized, [SIZE, SIZE])
    ours = found.valid.pick(torch.tensor([0]), CPU)[0].numpy().astype(float)
    assert np.abs(ours - np.asarray(theirs)).mean() < 12
    assert seen.shape == (4, 3, SIZE, SIZE)


def test_the_middle_of_an_image_is_seven_eighths_of_its_shorter_side():
    assert middle(640, 256) == (208.0, 16.0, 432.0, 240.0)


def test_random_boxes_lie_inside_and_have_the_areas_that_are_allowed():
    draws = torch.rand(500, 10, 4, generator=torch.Generator().manual_seed(0))
    areas = []
    for rows in draws.tolist():
        left, upper, right, lower = RandomBox(rows)(500, 375)
        assert 0 <= left < right <= 500
        assert 0 <= upper < lower <= 375
        assert 0.7 < (right - left) / (lower - upper) < 1.4
        areas.append((right - left) * (lower - upper) / (500 * 375))
    assert 0.075 < min(areas) < 0.12
    assert max(areas) > 0.9
    assert 0.4 < sum(areas) / 500 < 0.6


def test_a_box_for_an_extreme_image_is_its_middle():
    rows = [[1.0, 0.5, 0.5, 0.5]] * 10
    assert RandomBox(rows)(1000, 10) == (493, 0, 506, 10)
    assert RandomBox(rows)(10, 1000) == (0, 493, 10, 506)


@pytest.mark.parametrize(
    ("which", "change"),
    [
        (0, lambda reference, image, f: reference.adjust_brightness(image, 1 + f)),
        (1, lambda reference, image, f: reference.adjust_contrast(image, 1 + f)),
        (2, lambda reference, image, f: reference.adjust_saturation(image, 1 + f)),
        (3, lambda reference, image, f: reference.adjust_hue(image, f / 2)),
    ],
)
@pytest.mark.parametrize("factor", [-0.4, 0.0, 0.3])
def test_each_change_of_colour_is_torchvisions(reference, which, change, factor):
    images = torch.from_numpy(pictures(2, side=16))
    factors = torch.zeros(2, 4)
    factors[:, which] = factor
    ours = jittered(images.permute(0, 2, 3, 1), factors, torch.arange(4).expand(2, 4))
    theirs = change(reference, images.float() / 255, factor).permute(0, 2, 3, 1) * 255
    assert (ours - theirs).abs().max() < 0.5


def test_every_image_has_its_own_order_of_changes():
    images = torch.from_numpy(pictures(2, side=16)).permute(0, 2, 3, 1)
    factors = torch.tensor([[0.4, 0.4, -0.4, 0.2]] * 2)
    orders = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
    together = jittered(images, factors, orders)
    for i in range(2):
        alone = jittered(images[i : i + 1], factors[i : i + 1], orders[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-3)
    assert (together[1] - jittered(images, factors, orders.flip(0))[1]).abs().max() > 1


def test_an_unreadable_image_is_named_when_its_turn_comes(tree):
    found, batches = batches_of(tree)
    broken = Path(found.train.paths[3])
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=r"cannot be read.*\n.*_3\.JPEG"):
        [batches.batch(1, step) for step in range(1, batches.steps + 1)]


def test_a_folder_too_large_for_memory_is_streamed_and_split(tree):
    data = DataSection(dataset=f"folder:{tree}/train", stream_above=0, image_size=SIZE)
    found = datasets.read(data)
    assert isinstance(found.train, StreamedPart)
    assert (len(found.train), len(found.test)) == (10, 2)
    mean, _ = found.channel_statistics()
    assert ((mean > 0.3) & (mean < 0.7)).all()
    small = datasets.read(DataSection(dataset=f"folder:{tree}", image_size=SIZE))
    assert isinstance(small.train, datasets.Part)


def test_a_shared_batch_is_the_whole_one_in_parts(tree):
    from darts_engine.compute.parallel import World

    data = section(tree)
    found = datasets.read(data)
    augment = augmentation(data, found, CPU)
    whole = Batches(found.train, augment, 6, 7, "train").batch(1, 2)
    for rank in range(2):
        world = World(rank, 2)
        share = Batches(found.train, augment, 6, 7, "train", world=world).batch(1, 2)
        assert torch.equal(share[1], whole[1][rank::2])
        assert (share[0] - whole[0][rank::2]).abs().max() < 1e-5
