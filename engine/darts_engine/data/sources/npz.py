"""`npz:FILE`: arrays of images and labels, by the names that tools give them (`arrays.py`).

Images are (N, H, W) or (N, H, W, C) with any number of bands. Nothing in the file is unpickled.
"""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from darts_engine.data.dataset import Dataset, Request, existing
from darts_engine.data.sources import arrays
from darts_engine.run.errors import DataError


def load(request: Request) -> Dataset:
    """Read the file.

    Raises:
        DataError: the file or one of its arrays is wrong; names the array.
    """
    path = existing(request.rest, "npz")
    try:
        _check_sizes(path)
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(
                "the file holds one bare array: labels are missing",
                where=str(path),
                remedy=f"npy:IMAGES.npy,LABELS.npy, or {arrays.REMEDY}",
            )
        with archive:
            found = {name: archive[name] for name in archive.files if arrays.is_known(name)}
            others = [name for name in archive.files if not arrays.is_known(name)]
            if not found and others:
                raise DataError(
                    f"the npz has no array 'images', but {', '.join(others)[:120]}",
                    where=str(path),
                    remedy=arrays.REMEDY,
                )
    except UNREADABLE as error:
        raise DataError(
            f"the npz cannot be read: {in_a_line(error)}", where=str(path), remedy=arrays.REMEDY
        ) from None
    made = arrays.dataset(path.name, found, str(path), request)
    if others:
        request.watch.note(f"{path.name}: not read are {', '.join(others)[:120]}", "warning")
    return made


# What numpy and zipfile raise for a damaged file: a header of an array is text that is parsed, a
# dimension may exceed a C integer, and a compression may be unknown.
UNREADABLE = (
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
            if not arrays.is_known(info.filename.removesuffix(".npy")):
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


def in_a_line(error: BaseException) -> str:
    """The kind and the first line of an error."""
    words = str(error).split("\n", 1)[0]
    return f"{type(error).__name__}: {words}"[:200]
