"""`npz:FILE`: arrays `images` and `labels`, optionally `test_images`, `test_labels`, `classes`.

Images are uint8, (N, H, W) or (N, H, W, C) with 1 or 3 channels. Nothing in the file is unpickled.
"""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy

from darts_engine.data.dataset import Dataset, Part, Request, existing, nearest, split_off_test
from darts_engine.run.errors import DataError

MAX_CLASSES = 100_000


def load(request: Request) -> Dataset:
    """Read the file.

    Raises:
        DataError: the file or one of its arrays is wrong; names the array.
    """
    path = existing(request.rest, "npz")
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as arrays:
            if not hasattr(arrays, "files"):
                raise DataError("the file holds one bare array", where=str(path), remedy=_REMEDY)
            found = {name: arrays[name] for name in arrays.files if name in _NAMES}
            names = list(arrays.files)
    except _UNREADABLE as error:
        raise DataError(
            f"the npz cannot be read: {_in_a_line(error)}", where=str(path), remedy=_REMEDY
        ) from None
    for needed in ("images", "labels"):
        if needed not in found:
            raise DataError(
                f"the npz has no array {needed!r}", where=str(path), remedy=nearest(needed, names)
            )
    train = _part(found, "", str(path))
    if "test_images" in found:
        test = _part(found, "test_", str(path))
        if test.images.shape[1:] != train.images.shape[1:]:
            raise DataError("training and test images differ in size", where=str(path))
    else:
        train, test = split_off_test(train)
    num_classes = 1 + int(max(train.labels.max(), test.labels.max() if len(test) else 0))
    classes = [str(name) for name in found.get("classes", np.arange(num_classes))]
    if len(classes) < num_classes:
        raise DataError(
            f"there are labels up to {num_classes - 1} but {len(classes)} class names",
            where=str(path),
        )
    empty = [classes[c] for c in range(num_classes) if not bool((train.labels == c).any())]
    if empty:
        raise DataError(f"class {empty[0]!r} has no training image", where=str(path))
    return Dataset(path.name, classes, train, test)


_NAMES = ("images", "labels", "test_images", "test_labels", "classes")
_REMEDY = "np.savez(FILE, images=uint8 N x H x W [x C], labels=integers)"


# What numpy and zipfile raise for a damaged file: a header of an array is text that is parsed, a
# dimension may exceed a C integer, and a compression may be unknown.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, ArithmeticError, LookupError, TypeError, AttributeError),
    *(SyntaxError, RecursionError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error),
    tokenize.TokenError,
)


def _check_sizes(path: Path) -> None:
    """Raise DataError if an array claims more than the file has of it, before that is allocated."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.removesuffix(".npy") not in _NAMES:
                continue
            with archive.open(info) as file:
                read_header = _HEADERS.get(npy.read_magic(file))
                if read_header is None:
                    continue
                shape, _, kind = read_header(file)
            if math.prod(shape) * kind.itemsize > info.file_size or min(shape, default=0) < 0:
                raise DataError(
                    f"{info.filename} claims the shape {_short(shape)} of {kind}, "
                    f"and holds {info.file_size:,} bytes",
                    where=str(path),
                    remedy="the file is damaged: make it anew",
                )


_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def _short(shape: tuple[int, ...]) -> str:
    words = str(shape)
    return words if len(words) <= 80 else f"{words[:80]}..."


def _in_a_line(error: BaseException) -> str:
    words = str(error).split("\n", 1)[0]
    return f"{type(error).__name__}: {words}"[:200]


def _part(arrays: dict[str, np.ndarray], prefix: str, where: str) -> Part:
    images = arrays[f"{prefix}images"]
    labels = arrays.get(f"{prefix}labels")
    if labels is None:
        raise DataError(f"{prefix}images has no {prefix}labels", where=where)
    if images.dtype != np.uint8:
        raise DataError(f"{prefix}images is {images.dtype}, not uint8", where=where, remedy=_REMEDY)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise DataError(f"{prefix}images has the shape {images.shape}", where=where, remedy=_REMEDY)
    if labels.ndim != 1 or len(labels) != len(images) or not len(labels):
        raise DataError(
            f"{len(images)} {prefix}images but {prefix}labels of shape {labels.shape}", where=where
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise DataError(
            f"{prefix}labels must be integers from 0", where=where, remedy=f"found {labels.dtype}"
        )
    return Part(
        torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64))
    )
