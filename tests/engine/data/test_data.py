"""Data sets: what is read, what is refused and in which words; augmentation; order."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from darts_engine.compute.parallel import World
from darts_engine.data import dataset as datasets
from darts_engine.data.augment import Augmentation
from darts_engine.data.batches import Batches
from darts_engine.data.decoding import FORMATS, open_image
from darts_engine.data.order import Order, num_batches
from darts_engine.run.errors import DataError, NotFoundError
from darts_engine.run.settings.config import DataSection

CPU = torch.device("cpu")


def test_digits_are_whole_and_split_by_class():
    digits = datasets.load("digits", 0)
    assert (len(digits.train), len(digits.test)) == (1442, 355)
    assert digits.image_shape == (1, 8, 8)
    assert digits.train.images.max() == 255
    share = digits.test.labels.bincount() / (
        digits.test.labels.bincount() + digits.train.labels.bincount()
    )
    assert ((share > 0.19) & (share < 0.21)).all()


def test_digits_can_be_enlarged():
    assert datasets.load("digits", 16).image_shape == (1, 16, 16)


@pytest.fixture
def arrays():
    draws = np.random.default_rng(0)
    return {
        "images": draws.integers(0, 256, (40, 6, 6, 3), dtype=np.uint8),
        "labels": np.arange(40) % 4,
    }


def npz(tmp_path, **arrays):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    return f"npz:{path}"


def test_npz_without_test_part_gives_up_a_fifth_of_each_class(tmp_path, arrays):
    found = datasets.load(npz(tmp_path, **arrays), 0)
    assert (len(found.train), len(found.test)) == (32, 8)
    assert found.image_shape == (3, 6, 6)
    assert found.test.labels.bincount().tolist() == [2, 2, 2, 2]


def test_npz_with_test_part_and_class_names(tmp_path, arrays):
    extra = {"test_images": arrays["images"][:4, ..., 0], "test_labels": arrays["labels"][:4]}
    grey = {"images": arrays["images"][..., 0], "labels": arrays["labels"]}
    names = np.array(["ant", "bee", "cat", "dog"])
    found = datasets.load(npz(tmp_path, **grey, **extra, classes=names), 0)
    assert (len(found.train), len(found.test), found.classes[2]) == (40, 4, "cat")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": None}, "no array 'images'"),
        ({"labels": np.zeros(3, int)}, "40 images but labels of shape"),
        ({"images": np.zeros((40, 36), np.uint8)}, "has the shape"),
        ({"labels": np.linspace(0, 1, 40)}, "must be integers"),
        ({"labels": np.array([0, 2] * 20)}, "class '1' has no training image"),
        ({"labels": np.zeros(40, int)}, "at least two classes"),
        ({"images": np.zeros((4, 6, 6), np.uint8), "labels": np.array([0, 0, 0, 1])}, "too few"),
    ],
)
def test_a_wrong_npz_is_refused_by_name(tmp_path, arrays, change, words):
    changed = {k: v for k, v in (arrays | change).items() if v is not None}
    with pytest.raises(DataError, match=words) as caught:
        datasets.load(npz(tmp_path, **changed), 0)
    assert "set.npz" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_an_npz_that_would_unpickle_is_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, images=np.array([object()]), labels=np.array([0]))
    with pytest.raises(DataError, match="cannot be read"):
        datasets.load(f"npz:{path}", 0)


ABSURD = [(2**62, 8, 8), (2**70, 8, 8), (-(2**70), 8), (10**12, 8, 8), (10**4000, 1), (-1, 8, 8)]


@pytest.mark.parametrize("shape", ABSURD, ids=range(len(ABSURD)))
@pytest.mark.parametrize("name", ["images", "labels", "classes"])
def test_an_array_that_claims_more_than_the_file_has_is_refused(tmp_path, arrays, shape, name):
    path = tmp_path / "set.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if k != name})
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    text = f"{header!r}\n".encode()
    with zipfile.ZipFile(path, "a") as archive:
        magic = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
        archive.writestr(f"{name}.npy", magic + text + b"\0" * 64)
    with pytest.raises(DataError) as caught:
        datasets.load(f"npz:{path}", 0)
    assert "set.npz" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3
    assert max(map(len, str(caught.value).splitlines())) < 400


def test_a_missing_path_names_what_is_near(tmp_path, arrays):
    npz(tmp_path, **arrays)
    with pytest.raises(DataError, match=r"did you mean 'set\.npz'"):
        datasets.load(f"npz:{tmp_path}/sets.npz", 0)
    with pytest.raises(NotFoundError, match="did you mean 'digits'"):
        datasets.load("digit", 0)


def images(root, layout, mode="RGB", size=(6, 6)):
    for name, count in layout.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new(mode, size, 20 * i).save(root / name / f"{i}.png")


def test_a_folder_with_train_and_val(tmp_path):
    images(tmp_path / "train", {"ant": 5, "bee": 6})
    images(tmp_path / "val", {"ant": 1, "bee": 2})
    found = datasets.load(f"folder:{tmp_path}", 0)
    assert (len(found.train), len(found.valid), found.classes) == (11, 3, ["ant", "bee"])
    assert found.test is None
    assert found.image_shape == (3, 6, 6)


def test_a_grey_folder_stays_grey_and_is_resized(tmp_path):
    images(tmp_path, {"ant": 5, "bee": 5}, mode="L", size=(9, 5))
    assert datasets.load(f"folder:{tmp_path}", 4).image_shape == (1, 4, 4)


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path):
    ramp = np.linspace(0, 65535, 36).astype(np.uint16).reshape(6, 6)
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.fromarray(ramp).save(tmp_path / name / f"{i}.png")
    found = datasets.load(f"folder:{tmp_path}", 0)
    assert found.image_shape == (1, 6, 6)
    assert found.train.images[0, ..., 0].tolist() == (ramp // 256).tolist()
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "bee" / "9.tif")
    with pytest.raises(DataError, match=r"32 bits.*\n.*9\.tif"):
        datasets.load(f"folder:{tmp_path}", 0)


def test_folder_faults_name_the_file(tmp_path):
    images(tmp_path, {"ant": 5, "bee": 5})
    (tmp_path / "cow").mkdir()
    with pytest.raises(DataError, match="class 'cow' has no images"):
        datasets.load(f"folder:{tmp_path}", 0)
    (tmp_path / "cow" / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"bad\.png"):
        datasets.load(f"folder:{tmp_path}", 0)
    Image.new("RGB", (3, 3)).save(tmp_path / "cow" / "bad.png")
    with pytest.raises(DataError, match=r"3x3 here, 6x6 in .*\n.*bad\.png\n.*--image-size"):
        datasets.load(f"folder:{tmp_path}", 0)


def test_what_is_a_picture_only_to_another_program_is_refused_by_name(tmp_path):
    path = tmp_path / "page.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n")
    with Image.open(path) as known:
        assert known.format == "EPS", "Pillow itself goes by the content"
    with pytest.raises(DataError, match=r"none of .*PNG.*\n.*page\.png\nconvert it"):
        open_image(path)


@pytest.mark.parametrize("form", FORMATS)
def test_every_raster_format_is_read_whatever_the_name(tmp_path, form):
    path = tmp_path / "image.png"
    Image.new("RGB", (5, 4), "red").save(path, form)
    assert open_image(path).size == (5, 4)


def batch_of(**settings):
    digits = datasets.load("digits", 0)
    section = DataSection(**{"crop_padding": 0, **settings})
    augment = Augmentation.of(section, digits, CPU)
    draws = torch.Generator().manual_seed(0)
    drawn = augment.draw(digits.train, 500, draws)
    return digits, augment, augment(digits.train, torch.arange(500), drawn)


def test_without_augmentation_images_are_only_normalised():
    digits, augment, out = batch_of()
    assert torch.equal(out, augment.plain(digits.train.images[:500]))
    everything = augment.plain(digits.train.images)
    assert everything.mean().abs() < 1e-5
    assert everything.std() == pytest.approx(1, abs=1e-4)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_flipped_images_are_mirror_images():
    digits, augment, out = batch_of(flip=True)
    plain = augment.plain(digits.train.images[:500])
    same = (out == plain).flatten(1).all(1)
    mirrored = (out == plain.flip(3)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 200 < int(mirrored.sum()) < 300


def test_crops_are_shifts_by_at_most_the_padding():
    digits, augment, out = batch_of(crop_padding=1)
    padded = torch.nn.functional.pad(digits.train.images[:500], (0, 0, 1, 1, 1, 1))
    shifts = [augment.plain(padded[:, y : y + 8, x : x + 8]) for y in range(3) for x in range(3)]
    hits = torch.stack([(out == shifted).flatten(1).all(1) for shifted in shifts])
    assert hits.any(0).all()
    assert hits.sum(1).min() > 20


def test_cutout_is_clipped_at_the_borders():
    _, _, out = batch_of(cutout=4)
    holes = (out == 0).sum((1, 2, 3))
    assert holes.max() == 16
    assert holes.min() < 16
    assert holes.min() >= 4


def test_cutout_may_spare_some_images():
    _, _, out = batch_of(cutout=4, cutout_prob=0.25)
    spared = (out == batch_of()[2]).flatten(1).all(1)
    assert 330 < int(spared.sum()) < 420


def test_a_shared_batch_is_the_whole_one_in_parts():
    digits, augment, _ = batch_of(crop_padding=1, flip=True, cutout=3)
    whole = Batches(digits.train, augment, 10, 5, "x").batch(2, 3)
    shares = [Batches(digits.train, augment, 10, 5, "x", world=World(r, 3)) for r in range(3)]
    for rank, share in enumerate(shares):
        for mine, everyone in zip(share.batch(2, 3), whole, strict=True):
            assert torch.equal(mine, everyone[rank::3])


def test_augmentation_is_a_function_of_its_stream():
    assert torch.equal(batch_of(flip=True, cutout=2)[2], batch_of(flip=True, cutout=2)[2])


def test_the_order_is_a_permutation_that_any_step_can_be_asked_for():
    order = Order(103, 10, seed=5, purpose="x")
    steps = num_batches(103, 10)
    assert steps == 11
    assert sorted(torch.cat([order.batch(2, s) for s in range(1, 12)]).tolist()) == list(range(103))
    later = Order(103, 10, seed=5, purpose="x").batch(2, 7)
    assert torch.equal(order.batch(2, 7), later)
    assert not torch.equal(order.batch(1, 7), later)


def test_a_last_batch_of_one_image_is_left_out():
    assert num_batches(101, 10) == 10
    assert num_batches(102, 10) == 11


def test_held_out_images_are_a_share_of_every_class_and_never_trained_or_tested_on():
    whole = datasets.load("digits", 0)
    held = datasets.hold_out(whole, 0.2, seed=3)
    assert held.test is None
    assert held.valid.labels.bincount().tolist() == [
        round(0.2 * count) for count in whole.train.labels.bincount().tolist()
    ]

    def rows(*parts):
        return sorted(bytes(image.flatten().tolist()) for part in parts for image in part.images)

    assert rows(held.train, held.valid) == rows(whole.train)
    again, other = (datasets.hold_out(whole, 0.2, seed).valid for seed in (3, 4))
    assert torch.equal(again.images, held.valid.images)
    assert not torch.equal(other.images, held.valid.images)
