"""CIFAR: both versions of the files, unpacked or not, and what is refused in them."""

import contextlib
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from data_kit import archive, binary_batch, pictures, published_as, python2_batch

from darts_engine.data import dataset as datasets
from darts_engine.data.files import plain_pickle
from darts_engine.data.files.pickle_machine import PickleError
from darts_engine.data.sources import cifar
from darts_engine.run.errors import DataError
from darts_engine.run.settings.config import DataSection

FINE = np.array([99, 0, 7, 41, 41, 7, 0, 99] * 25)
PARTS = {
    "train": (pictures(200), np.arange(200) % 10),
    "test": (pictures(30, 1), np.arange(30) % 10),
}


def read(folder, name="cifar10"):
    return datasets.read(DataSection(dataset=name, data_dir=str(folder), download=False))


def ten(version):
    """The six batches of CIFAR-10 by name."""
    images, labels = PARTS["train"]
    chunks = [slice(40 * i, 40 * i + 40) for i in range(5)]
    if version == "binary":
        named = {f"data_batch_{i + 1}.bin": binary_batch(images[c], labels[c])
                 for i, c in enumerate(chunks)}  # fmt: skip
        return "cifar-10-batches-bin", named | {"test_batch.bin": binary_batch(*PARTS["test"])}
    named = {f"data_batch_{i + 1}": python2_batch(images[c], labels=labels[c])
             for i, c in enumerate(chunks)}  # fmt: skip
    test_images, test_labels = PARTS["test"]
    named["test_batch"] = python2_batch(test_images, labels=test_labels)
    return "cifar-10-batches-py", named


def unpack(root, folder, batches):
    (root / folder).mkdir()
    for name, data in batches.items():
        (root / folder / name).write_bytes(data)


def check_ten(found):
    images, labels = PARTS["train"]
    assert torch.equal(found.train.images, torch.from_numpy(images).permute(0, 2, 3, 1))
    assert found.train.labels.tolist() == labels.tolist()
    assert len(found.test) == 30
    assert found.classes[3] == "cat"
    assert found.channel_statistics()[0][0] == pytest.approx(0.49139968)


@pytest.mark.parametrize("version", ["binary", "python"])
def test_cifar10_is_read_from_unpacked_files(tmp_path, version):
    unpack(tmp_path, *ten(version))
    check_ten(read(tmp_path))


@pytest.mark.parametrize(("version", "place"), [("binary", 0), ("python", 1)])
def test_cifar10_is_read_straight_from_its_archive(tmp_path, monkeypatch, version, place):
    folder, batches = ten(version)
    members = {f"{folder}/{name}": data for name, data in batches.items()}
    old = cifar.CIFAR10.versions[place]
    data = archive(tmp_path / old.file.name, members | {"../evil": b"x"})
    new = replace(old, file=published_as(old.file, data))
    versions = tuple(new if v is old else v for v in cifar.CIFAR10.versions)
    monkeypatch.setattr(cifar, "CIFAR10", replace(cifar.CIFAR10, versions=versions))
    check_ten(read(tmp_path))
    assert os.listdir(tmp_path) == [old.file.name]


@pytest.mark.parametrize("version", ["binary", "python"])
def test_cifar100_has_its_fine_labels(tmp_path, version):
    images, coarse = pictures(200), np.arange(200) % 20
    if version == "binary":
        batch = binary_batch(images, coarse, FINE)
        unpack(tmp_path, "cifar-100-binary", {"train.bin": batch, "test.bin": batch})
    else:
        batch = python2_batch(images, coarse_labels=coarse, fine_labels=FINE)
        unpack(tmp_path, "cifar-100-python", {"train": batch, "test": batch})
    found = read(tmp_path, "cifar100")
    assert found.train.labels.tolist() == FINE.tolist()
    assert (found.classes[0], found.classes[41], found.classes[99]) == (
        "apple",
        "lawn_mower",
        "worm",
    )
    assert len(set(found.classes)) == 100
    assert list(found.classes) == sorted(found.classes)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("data_batch_3.bin", lambda data: data[:-1], "no whole records"),
        ("data_batch_3.bin", lambda data: b"", "no whole records"),
        ("data_batch_3.bin", lambda data: b"\x0a" + data[1:], "labels outside"),
        ("data_batch_3.bin", None, "cannot be read"),
    ],
)
def test_a_broken_batch_is_named(tmp_path, name, change, words):
    folder, batches = ten("binary")
    unpack(tmp_path, folder, batches)
    path = tmp_path / folder / name
    path.unlink() if change is None else path.write_bytes(change(batches[name]))
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


def test_a_broken_archive_is_not_trained_on(tmp_path):
    folder, batches = ten("binary")
    archive(tmp_path / "cifar-10-binary.tar.gz", {f"{folder}/{n}": b for n, b in batches.items()})
    with pytest.raises(DataError, match="downloads are off"):
        read(tmp_path)


RAN: list[int] = []


class Evil:
    def __reduce__(self):
        return eval, ("ran.append(1)", {"ran": RAN})


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, protocol):
    with pytest.raises(PickleError, match=r"asks for '\w+ eval'"):
        plain_pickle.loads(pickle.dumps({"data": Evil()}, protocol))
    folder, batches = ten("python")
    hostile = pickle.dumps({b"data": Evil(), b"labels": []}, 2)
    unpack(tmp_path, folder, batches | {"data_batch_2": hostile})
    with pytest.raises(DataError, match=r"batch is broken: it asks for .*\n.*data_batch_2"):
        read(tmp_path)
    assert not RAN


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_pickle_of_python_3_is_read_too(protocol):
    value = {b"data": pictures(3).reshape(3, -1), "labels": [1, -2, 70000], "more": (None, True)}
    found = plain_pickle.loads(pickle.dumps(value, protocol))
    assert np.array_equal(found.pop(b"data"), value.pop(b"data"))
    assert found == value


# The standard library's reader of opcodes warns of odd escapes.
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_no_damage_to_a_pickle_does_more_than_be_refused():
    whole = python2_batch(pictures(1, side=4), labels=np.array([1]))
    draws = np.random.default_rng(0)
    for cut in range(len(whole) - 1):
        with pytest.raises(PickleError):
            plain_pickle.loads(whole[:cut])
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[draws.integers(len(whole))] = draws.integers(256)
        with contextlib.suppress(PickleError):
            plain_pickle.loads(bytes(damaged))
