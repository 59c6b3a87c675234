"""`cifar10` and `cifar100`: 60,000 colour images of 32x32 pixels.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, which describes both
versions of the files. Binary: records of the label (CIFAR-100: the coarse, then the fine one) and
3,072 bytes, the red, green and blue plane row by row. Python: pickles of a dictionary with `data`
(N, 3072) uint8 and a list of labels; nothing in them is run (`plain_pickle`).

The archives are read as they are, without unpacking them; unpacked folders are read too.
"""

import gzip
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from darts_engine.data.dataset import Dataset, Part, Request, Statistics
from darts_engine.data.files import download, plain_pickle, published
from darts_engine.data.files.published import File
from darts_engine.run.errors import DataError

SIDE, CHANNELS = 32, 3
PIXELS = SIDE * SIDE * CHANNELS
IMAGES = (50_000, 10_000)
MAX_MEMBER_BYTES = 400 << 20

# From the bytes of a batch to images (N, 3072) and labels (N,).
Reader = Callable[[bytes, "Version"], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Version:
    """One published form of a set: its archive, the files in it, and their reader."""

    file: File
    folder: str
    train: tuple[str, ...]
    test: str
    read: Reader
    labels: int | str


@dataclass(frozen=True)
class Cifar:
    """One of the two sets, with the statistics that the official code uses."""

    name: str
    classes: tuple[str, ...]
    statistics: Statistics
    versions: tuple[Version, ...]


def cifar10(request: Request) -> Dataset:
    """CIFAR-10.

    Raises:
        DataError: it is missing and cannot be downloaded, or a file is broken.
    """
    return _load(CIFAR10, request)


def cifar100(request: Request) -> Dataset:
    """CIFAR-100, with its fine labels.

    Raises:
        DataError: as `cifar10`.
    """
    return _load(CIFAR100, request)


def _load(cifar: Cifar, request: Request) -> Dataset:
    root = published.data_folder(request.data.data_dir)
    for version in cifar.versions:
        if (root / version.folder).is_dir():
            files = _unpacked(root / version.folder, version)
            break
    else:
        files = _archived(*_archive(cifar, root, request))
        version = next(v for v in cifar.versions if v.file.name == files.archive)
    train = _part(cifar, version, files, version.train)
    test = _part(cifar, version, files, (version.test,))
    found = len(train), len(test)
    if found != IMAGES:
        request.watch.note(
            f"{files.where} is not the published {cifar.name}: {found[0]} and {found[1]} images",
            "warning",
        )
    return Dataset(cifar.name, list(cifar.classes), train, test, statistics=cifar.statistics)


def _archive(cifar: Cifar, root: Path, request: Request) -> tuple[Path, Version]:
    """A whole archive, from the folder or by download."""
    for version in cifar.versions:
        path = root / version.file.name
        if path.exists():
            if download.is_whole(path, version.file):
                return path, version
            request.watch.note(f"{path} is broken: its MD5 sum is wrong", "warning")
    got, path = download.fetch_for(request, [v.file for v in cifar.versions], root)
    return path, next(v for v in cifar.versions if v.file is got)


@dataclass(frozen=True)
class _Files:
    """The batches of a version by name, and the folder or archive that they are from."""

    where: Path
    archive: str
    batches: dict[str, bytes]


def _unpacked(folder: Path, version: Version) -> _Files:
    batches = {}
    for name in (*version.train, version.test):
        try:
            batches[name] = (folder / name).read_bytes()
        except OSError as error:
            raise DataError(
                f"the batch cannot be read: {error.strerror}",
                where=str(folder / name),
                remedy=f"unpack {version.file.name} there again, or remove the folder",
            ) from None
    return _Files(folder, version.file.name, batches)


def _archived(path: Path, version: Version) -> _Files:
    """The batches in an archive; members with other names are skipped."""
    wanted = {f"{version.folder}/{name}": name for name in (*version.train, version.test)}
    batches: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = wanted.get(member.name)
                stream = archive.extractfile(member) if name and member.isfile() else None
                if name and stream and member.size <= MAX_MEMBER_BYTES:
                    batches[name] = stream.read()
    except (OSError, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"the archive cannot be read: {error}", where=str(path)) from None
    missing = sorted(set(wanted.values()) - set(batches))
    if missing:
        raise DataError(f"the archive has no {missing[0]}", where=str(path))
    return _Files(path, version.file.name, batches)


def _part(cifar: Cifar, version: Version, files: _Files, names: tuple[str, ...]) -> Part:
    images, labels = [], []
    for name in names:
        try:
            batch = version.read(files.batches.pop(name), version)
            if len(batch[1]) and not 0 <= batch[1].min() <= batch[1].max() < len(cifar.classes):
                raise ValueError(f"it has labels outside of 0 .. {len(cifar.classes) - 1}")
        except ValueError as error:
            raise DataError(
                f"the batch is broken: {error}",
                where=str(files.where / name),
                remedy=f"unpack {version.file.name} there again, or remove the folder",
            ) from None
        images.append(batch[0])
        labels.append(batch[1])
    planes = np.concatenate(images).reshape(-1, CHANNELS, SIDE, SIDE)
    pixels = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return Part(torch.from_numpy(pixels), torch.from_numpy(np.concatenate(labels)))


def _read_binary(data: bytes, version: Version) -> tuple[np.ndarray, np.ndarray]:
    """Read records of `version.labels` label bytes, of which the last counts, and pixels."""
    assert isinstance(version.labels, int)
    record = version.labels + PIXELS
    if not data or len(data) % record:
        raise ValueError(f"its {len(data)} bytes are no whole records of {record}")
    records = np.frombuffer(data, np.uint8).reshape(-1, record)
    return records[:, version.labels :], records[:, version.labels - 1].astype(np.int64)


def _read_python(data: bytes, version: Version) -> tuple[np.ndarray, np.ndarray]:
    """Read a pickled dictionary, with keys of Python 2 or 3."""
    assert isinstance(version.labels, str)
    batch = plain_pickle.loads(data)
    if not isinstance(batch, dict):
        raise ValueError("it holds no dictionary")
    named = {k.decode("latin-1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    images, labels = named.get("data"), named.get(version.labels)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise ValueError("it has no array 'data' of bytes")
    if images.ndim != 2 or images.shape[1] != PIXELS or not len(images):
        raise ValueError(f"its images have the shape {images.shape}, not N x {PIXELS}")
    if not isinstance(labels, list) or len(labels) != len(images):
        raise ValueError(f"it has no list {version.labels!r} of {len(images)}")
    if not all(isinstance(label, int) for label in labels):
        raise ValueError(f"{version.labels!r} are no numbers")
    return images, np.array(labels, dtype=np.int64)


_TEN = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")

CIFAR10 = Cifar(
    "cifar10",
    tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),  # noqa: SIM905
    # As in the official DARTS code; the deviations are over all pixels of the set.
    ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)),
    (
        Version(
            published.CIFAR10_BINARY,
            "cifar-10-batches-bin",
            tuple(f"{name}.bin" for name in _TEN),
            "test_batch.bin",
            _read_binary,
            1,
        ),
        Version(
            published.CIFAR10_PYTHON,
            "cifar-10-batches-py",
            _TEN,
            "test_batch",
            _read_python,
            "labels",
        ),
    ),
)

_HUNDRED = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""

CIFAR100 = Cifar(
    "cifar100",
    tuple(_HUNDRED.split()),
    ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    (
        Version(
            published.CIFAR100_BINARY,
            "cifar-100-binary",
            ("train.bin",),
            "test.bin",
            _read_binary,
            2,
        ),
        Version(
            published.CIFAR100_PYTHON,
            "cifar-100-python",
            ("train",),
            "test",
            _read_python,
            "fine_labels",
        ),
    ),
)
