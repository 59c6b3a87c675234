"""Array files as tools write them: what is read, what is said about it, and what is refused."""

import numpy as np
import pytest
import torch
from data_kit import Heard

from darts_engine.data import dataset as datasets
from darts_engine.data.augment import Augmentation
from darts_engine.data.batches import Batches
from darts_engine.data.dataset import Part
from darts_engine.data.mapped import MappedPart
from darts_engine.data.sources.levels import Form, form_of
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import DataError
from darts_engine.run.settings import config
from darts_engine.run.settings.config import DataSection
from darts_engine.search.task import Search
from darts_engine.training.task import Train

CPU = torch.device("cpu")
LABELS = np.arange(40) % 4
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 8, 3), dtype=np.uint8)
IMAGES[0, 0, 0] = 255


def read(tmp_path, arrays, **settings):
    path, heard = tmp_path / "set.npz", Heard()
    np.savez(path, **arrays)
    return datasets.read(DataSection(dataset=f"npz:{path}", **settings), heard), heard


def same(found, images=IMAGES):
    """Whether the training part has these images, less every fifth of each class."""
    kept = datasets.ranks_in_class(torch.from_numpy(LABELS)) % 5 != 4
    return np.array_equal(found.train.images, images[kept.numpy()])


NAMES = [
    ("images labels", "val_images val_labels", "test_images test_labels"),
    ("train_images train_labels", "val_images val_labels", "test_images test_labels"),
    ("x_train y_train", "x_val y_val", "x_test y_test"),
    ("X_train Y_train", "X_valid Y_valid", "X_test Y_test"),
    ("X y", "x_validation y_validation", "test_X test_y"),
    ("data targets", "val_data val_targets", "test_data test_targets"),
]


@pytest.mark.parametrize("names", NAMES, ids=[names[0] for names in NAMES])
def test_arrays_by_the_names_of_other_tools(tmp_path, names):
    arrays = {}
    for part, pair in enumerate(names):
        images, labels = pair.split()
        arrays |= {images: IMAGES[part * 8 :], labels: LABELS[part * 8 :]}
    found, heard = read(tmp_path, arrays | {"comment": np.array("x")})
    assert found.found() == "4 classes (0, 1, 2, 3), 40 training, 32 validation, 24 test images"
    for part, images in enumerate((found.train, found.valid, found.test)):
        assert np.array_equal(images.images, IMAGES[part * 8 :])
    assert heard.notes == [("warning", "set.npz: not read are comment")]


DARK = (IMAGES // 2).astype(np.uint16)
LEVELS = {
    "channels first": (IMAGES.transpose(0, 3, 1, 2), IMAGES, "channels first"),
    "floats to 1": (IMAGES / 255, IMAGES, "float levels from 0 (black) to 1 (white)"),
    "floats to 255": (IMAGES.astype("f4"), IMAGES, "float levels from 0 (black) to 255 (white)"),
    "floats from -1": (
        IMAGES.astype("f4") / 127.5 - 1, IMAGES, "float levels from -1 (black) to 1 (white)"),
    "half floats": ((IMAGES // 128).astype("f2"), IMAGES // 128 * 255,
                    "float levels from 0 (black) to 1 (white)"),
    "16 bits": (IMAGES.astype("u2") * 257, IMAGES,
                "integer levels from 0 (black) to 65535 (white)"),
    "12 bits": (IMAGES.astype("i4") * 16, IMAGES, "integer levels from 0 (black) to 4095 (white)"),
    "bytes in 64 bits": (IMAGES.astype("i8"), IMAGES, ""),
    "true and false": (IMAGES > 99, 255 * (IMAGES > 99),
                       "float levels from 0 (black) to 1 (white)"),
    "grey": (IMAGES[..., 0], IMAGES[..., :1], ""),
    "in Fortran's order": (np.asfortranarray(IMAGES), IMAGES, ""),
    "the other byte order": ((IMAGES.astype(">u2") * 257), IMAGES,
                             "integer levels from 0 (black) to 65535 (white)"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEVELS)
def test_levels_and_layouts_are_read_as_they_are_meant(tmp_path, name):
    images, expected, words = LEVELS[name]
    found, heard = read(tmp_path, {"images": images, "labels": LABELS})
    assert same(found, expected.astype(np.uint8))
    assert heard.text == (words and f"set.npz: {words}")


def test_the_range_is_one_for_all_parts_or_declared(tmp_path):
    parts = {"images": DARK, "labels": LABELS, "test_images": DARK * 16, "test_labels": LABELS}
    found, _ = read(tmp_path, parts)
    assert np.array_equal(found.train.images, (DARK >> 4).astype(np.uint8))
    found, heard = read(tmp_path, {"images": DARK, "labels": LABELS}, max_level=127)
    assert same(found, (DARK * 2).astype(np.uint8))
    assert heard.text == "set.npz: integer levels from 0 (black) to 127 (white)"


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((9, 16, 16, 5), False), ((9, 5, 16, 16), True), ((9, 5, 20, 30), True),
        ((9, 20, 30, 5), False), ((9, 3, 20, 30), True), ((9, 20, 30, 3), False),
        ((9, 9, 9, 200), False), ((9, 200, 9, 9), True), ((9, 8, 8, 8), False),
        ((9, 1, 8, 8), True), ((9, 3, 3, 3), False), ((9, 28, 28), False),
    ],
)  # fmt: skip
def test_where_the_channels_are(shape, first):
    form = form_of([("images", np.zeros(shape, np.uint8))], 0, "x")
    assert form == Form(channels_first=first)
    made = form(np.zeros(shape, np.uint8))
    assert made.shape[1:] == (*shape[2:4], shape[1]) if first else made.shape[1:3] == shape[1:3]


TEXT = np.array(["oak", "ash", "elm", "fir"])
GIVEN = {
    "a column": (LABELS[:, None], ["0", "1", "2", "3"], LABELS, ""),
    "floats": (LABELS.astype("f8"), ["0", "1", "2", "3"], LABELS, ""),
    "bytes": (LABELS.astype("u1"), ["0", "1", "2", "3"], LABELS, ""),
    "from one": (LABELS + 1, ["1", "2", "3", "4"], LABELS,
                 "the labels count from 1: classes are 1 to 4"),
    "one hot": (np.eye(4)[LABELS], ["0", "1", "2", "3"], LABELS,
                "labels has a one for the class of each image"),
    "text": (TEXT[LABELS], ["ash", "elm", "fir", "oak"], np.array([3, 0, 1, 2])[LABELS],
             "the labels are text; classes are in alphabetical order"),
    "bytes of text": (TEXT.astype("S")[LABELS], ["ash", "elm", "fir", "oak"],
                      np.array([3, 0, 1, 2])[LABELS],
                      "the labels are text; classes are in alphabetical order"),
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_labels_of_every_kind(tmp_path, name):
    labels, classes, numbers, words = GIVEN[name]
    arrays = {"images": IMAGES, "labels": labels, "test_images": IMAGES, "test_labels": labels}
    found, heard = read(tmp_path, arrays)
    assert (found.classes, heard.text) == (classes, words)
    for part in (found.train, found.test):
        assert part.labels.tolist() == numbers.tolist()


def test_class_names_go_with_labels_from_one_too(tmp_path):
    found, _ = read(tmp_path, {"images": IMAGES, "labels": LABELS + 1, "class_names": TEXT})
    assert found.classes == TEXT.tolist()


@pytest.mark.parametrize(
    ("arrays", "words", "remedy"),
    [
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "images holds no image", ""),
        ({"images": IMAGES}, "no array 'labels' beside images", "np.savez"),
        ({"pictures": IMAGES}, "no array 'images', but pictures", "np.savez"),
        ({"images": IMAGES, "Images": IMAGES, "y": LABELS}, "images and Images may both", "leave"),
        ({"images": IMAGES, "y": LABELS, "x_test": IMAGES}, "x_test has no labels", "np.savez"),
        ({"images": IMAGES, "y": LABELS, "y_test": LABELS}, "y_test has no images", "np.savez"),
        ({"images": IMAGES.reshape(40, -1)[:, :36], "y": LABELS}, "an image a row, flat",
         r"images=images\.reshape\(-1, 6, 6\)"),
        ({"images": IMAGES[None], "y": LABELS}, "1 images but y of shape", ""),
        ({"images": IMAGES.astype("i2") - 1, "y": LABELS}, "levels begin at -1", "astype"),
        ({"images": IMAGES.astype("i8") * 999, "y": LABELS}, "go up to 254,745, beyond 16",
         "max-level"),
        ({"images": IMAGES / 50 - 2, "y": LABELS}, "from -2 to 3.1: normalised", "astype"),
        ({"images": np.where(IMAGES == 255, np.nan, 1.0), "y": LABELS},
         r"images\[0\] has a level that is not a number", ""),
        ({"images": IMAGES + 0j, "y": LABELS}, "numbers of the kind complex128", "uint8"),
        ({"images": IMAGES, "y": LABELS + 0.5}, "must be integers from 0", "found float64"),
        ({"images": IMAGES, "y": LABELS * 2 - 1}, "are -1 to 5", "np.unique"),
        ({"images": IMAGES, "y": LABELS * 2}, "class '1' has no training image", "np.unique"),
        ({"images": IMAGES, "y": np.ones((40, 4))}, "has 4 values an image", "argmax"),
        ({"images": IMAGES, "y": TEXT[LABELS], "x_test": IMAGES[:1], "y_test": ["ashy"]},
         "'ashy' of a test label", "did you mean 'ash'"),
        ({"images": IMAGES, "y": LABELS, "x_test": IMAGES[:, :5], "y_test": LABELS},
         "differ in size: x_test has", ""),
    ],
)  # fmt: skip
def test_what_is_ambiguous_is_refused_with_the_line_that_converts_it(
    tmp_path, arrays, words, remedy
):
    with pytest.raises(DataError, match=words) as refusal:
        read(tmp_path, arrays)
    assert refusal.match(remedy)
    assert len(str(refusal.value).splitlines()) <= 3


# Pairs of npy files -------------------------------------------------------------------------------


def pairs(tmp_path, *arrays):
    files = []
    for place, array in enumerate(arrays):
        np.save(tmp_path / f"{place}.npy", array)
        files.append(str(tmp_path / f"{place}.npy"))
    return ",".join(files)


def test_images_alone_lack_their_labels(tmp_path):
    file = pairs(tmp_path, IMAGES)
    for kind, words in (("npz", "one bare array: labels are missing"), ("npy", "there is 1")):
        with pytest.raises(DataError, match=words):
            datasets.load(f"{kind}:{file}")


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_pairs_of_files(tmp_path, parts):
    arrays = [array[part:] for part in range(parts) for array in (IMAGES, LABELS)]
    found = datasets.load(f"npy:{pairs(tmp_path, *arrays)}")
    counts = {1: [32, 8], 2: [40, 39], 3: [40, 39, 38]}[parts]
    assert [len(part) for part in found.parts.values()] == counts
    assert isinstance(found.train, Part)


@pytest.mark.parametrize(
    ("images", "expected"),
    [(IMAGES, IMAGES), (IMAGES.transpose(0, 3, 1, 2).astype("f4") / 255, IMAGES)],
    ids=["bytes", "floats with channels first"],
)
def test_large_files_are_mapped_and_give_the_same_batches(tmp_path, images, expected):
    name = f"npy:{pairs(tmp_path, images, LABELS)}"
    small = datasets.read(DataSection(dataset=name))
    large = datasets.read(DataSection(dataset=name, stream_above=0))
    assert isinstance(large.train, MappedPart)
    assert large.image_shape == small.image_shape == (3, 6, 8)
    assert np.array_equal(large.train.pick(torch.arange(4), CPU), expected[:4])
    for ours, theirs in zip(large.channel_statistics(), small.channel_statistics(), strict=True):
        assert torch.allclose(ours, theirs)
    section = DataSection(crop_padding=1, flip=True, cutout=2)
    batches = [
        Batches(found.train, Augmentation.of(section, found, CPU), 8, 3, "x").batch(1, 2)
        for found in (small, large)
    ]
    assert torch.equal(batches[0][1], batches[1][1])
    assert torch.allclose(batches[0][0], batches[1][0], atol=1e-5)
    resized = datasets.read(DataSection(dataset=name, stream_above=0, image_size=4))
    assert resized.image_shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0.npy", "a file of images and one of labels; there is 1"),
        ("0.npy,1.npy,2.npy", "there are 3"),
        ("0.npy,9.npy", "nothing at this path"),
        ("0.npy,bad.npy", "the npy cannot be read"),
        ("0.npy,set.npz", "this is an npz"),
    ],
)
def test_a_wrong_pair_is_refused(tmp_path, monkeypatch, name, words):
    pairs(tmp_path, IMAGES, LABELS, LABELS)
    (tmp_path / "bad.npy").write_bytes(b"bad")
    np.savez(tmp_path / "set.npz", x=LABELS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=words):
        datasets.load(f"npy:{name}")


# Any number of bands ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["search", "train"])
def test_networks_take_any_number_of_bands(tmp_path, kind):
    bands = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 5), dtype=np.uint8)
    found, _ = read(tmp_path, {"images": bands, "labels": LABELS})
    section = {"search": "space", "train": "network"}[kind]
    asked = {"data.batch_size": 8, f"{section}.channels": 4, f"{section}.layers": 3}
    if kind == "train":
        asked["network.genotype"] = published()["DARTS_V2"].genotype.text()
    made = config.override(config.KINDS[kind](), asked)
    task = Train(made, found, CPU) if kind == "train" else Search(made, found, CPU)
    task.begin_epoch(1)
    task.step(1, 1)
    assert len(found.channel_statistics()[0]) == 5
