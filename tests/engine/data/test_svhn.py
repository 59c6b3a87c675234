"""SVHN: its MATLAB files, read by an own reader."""

import contextlib

import numpy as np
import pytest
from data_kit import mat_file, pictures, published_as

from darts_engine.data import dataset as datasets
from darts_engine.data.files import mat5, published
from darts_engine.run.errors import DataError
from darts_engine.run.settings.config import DataSection

LABELS = np.array([10, 1, 9, 2] * 10, dtype=np.uint8)[:, None]


def svhn(tmp_path, monkeypatch, folder="svhn", **arrays):
    images = pictures(40).transpose(2, 3, 1, 0)
    data = mat_file(**({"X": images, "y": LABELS} | arrays))
    for name in ("SVHN_TRAIN", "SVHN_TEST"):
        file = published_as(getattr(published, name), data)
        monkeypatch.setattr(published, name, file)
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / file.name).write_bytes(data)
    asked = DataSection(dataset="svhn", data_dir=str(tmp_path), download=False)
    return datasets.read(asked), pictures(40).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("folder", ["svhn", "."])
def test_svhn_is_read_and_ten_is_the_digit_zero(tmp_path, monkeypatch, folder):
    found, images = svhn(tmp_path, monkeypatch, folder)
    assert found.train.labels.tolist() == [0, 1, 9, 2] * 10
    assert np.array_equal(found.train.images.numpy(), images)
    assert found.classes[0] == "0"
    assert found.channel_statistics()[1].tolist() == pytest.approx([0.198, 0.201, 0.197])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": np.zeros((4, 4, 3, 40))}, "no array X of bytes"),
        ({"X": np.zeros((4, 4, 3, 39), np.uint8)}, "does not go with it"),
        ({"y": np.full((40, 1), 11, np.uint8)}, "labels outside"),
    ],
)
def test_files_that_make_no_sense_are_named(tmp_path, monkeypatch, arrays, words):
    with pytest.raises(DataError, match=words) as caught:
        svhn(tmp_path, monkeypatch, **arrays)
    assert "train_32x32.mat" in str(caught.value)


def test_a_file_with_another_sum_is_not_read(tmp_path, monkeypatch):
    svhn(tmp_path, monkeypatch)
    path = tmp_path / "svhn" / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="downloads are off"):
        datasets.read(DataSection(dataset="svhn", data_dir=str(tmp_path), download=False))


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_of_both_kinds_and_ways_of_storage_are_read(compressed):
    numbers = np.arange(24.0).reshape(2, 3, 4)
    found = mat5.loads(mat_file(compressed=compressed, a=numbers, b=LABELS))
    assert np.array_equal(found["a"], numbers)
    assert np.array_equal(found["b"], LABELS)


def test_every_cut_and_damage_of_a_file_is_refused_or_read():
    whole = mat_file(X=np.arange(12, dtype=np.uint8).reshape(3, 4))
    for cut in range(129, len(whole)):
        with pytest.raises(mat5.MatError):
            mat5.loads(whole[:cut])
    draws = np.random.default_rng(0)
    plain = mat_file(compressed=False, X=np.arange(12, dtype=np.uint8).reshape(3, 4))
    for _ in range(1000):
        damaged = bytearray(plain)
        damaged[draws.integers(len(plain))] = draws.integers(256)
        with contextlib.suppress(mat5.MatError):
            mat5.loads(bytes(damaged))
