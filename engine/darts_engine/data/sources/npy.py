"""`npy:IMAGES.npy,LABELS.npy`: a file an array, for training; further pairs are for the test part.

With four files the second pair is the test part; with six, the second is for validation and the
third for the test. Files are mapped: images that would fill more memory than `--stream-above` are
read as batches need them.
"""

import numpy as np

from darts_engine.data.dataset import Dataset, Request, existing
from darts_engine.data.sources import arrays
from darts_engine.data.sources.npz import UNREADABLE, in_a_line
from darts_engine.run.errors import DataError

PAIRS = {2: ("train",), 4: ("train", "test"), 6: ("train", "valid", "test")}


def load(request: Request) -> Dataset:
    """Open the files.

    Raises:
        DataError: a file is missing, or is no array; names it.
    """
    files = [file.strip() for file in request.rest.split(",") if file.strip()]
    if len(files) not in PAIRS:
        raise DataError(
            f"npy: takes a file of images and one of labels; there {_are(len(files))}",
            where=request.rest,
            remedy="npy:IMAGES.npy,LABELS.npy[,TEST-IMAGES.npy,TEST-LABELS.npy]",
        )
    found = {}
    for place, part in enumerate(PAIRS[len(files)]):
        for kind, file in zip(("images", "labels"), files[2 * place :], strict=False):
            name = kind if part == "train" else f"{'val' if part == 'valid' else part}_{kind}"
            found[name] = _array(file)
    name = existing(files[0], "npy").name
    return arrays.dataset(name, found, request.rest, request)


def _array(file: str) -> np.ndarray:
    path = existing(file, "npy")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise DataError(f"the npy cannot be read: {in_a_line(error)}", where=str(path)) from None
    if not isinstance(array, np.ndarray):
        raise DataError("this is an npz, with several arrays", where=str(path), remedy="use npz:")
    return array


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"
