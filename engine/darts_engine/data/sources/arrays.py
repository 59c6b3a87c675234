"""Makes a data set of arrays by name: images and labels of a training part, and of others."""

from collections.abc import Mapping

import numpy as np
import torch

from darts_engine.data.dataset import (
    SPLIT_OFF,
    AnyPart,
    Dataset,
    Part,
    Request,
    nearest,
    resized,
    split_off_test,
)
from darts_engine.data.mapped import MappedPart
from darts_engine.data.sources import labels as label_arrays
from darts_engine.data.sources.levels import Form, chunks, form_of
from darts_engine.run.errors import DataError

# The names that arrays have in files of other tools, in lower case; ours first.
IMAGES = {
    "train": ("images", "train_images", "x_train", "train_x", "x", "data", "train_data", "imgs"),
    "valid": ("val_images", "valid_images", "validation_images", "x_val", "x_valid", "val_x",
              "valid_x", "val_data", "x_validation"),
    "test": ("test_images", "x_test", "test_x", "test_data"),
}  # fmt: skip
LABELS = {
    "train": ("labels", "train_labels", "y_train", "train_y", "y", "targets", "label", "target"),
    "valid": ("val_labels", "valid_labels", "validation_labels", "y_val", "y_valid", "val_y",
              "valid_y", "val_targets", "y_validation"),
    "test": ("test_labels", "y_test", "test_y", "test_targets"),
}  # fmt: skip
CLASSES = ("classes", "class_names", "label_names")
KNOWN = {
    *(name for table in (IMAGES, LABELS) for names in table.values() for name in names),
    *CLASSES,
}
REMEDY = "np.savez(FILE, images=uint8 N x H x W [x C], labels=integers)"


def is_known(name: str) -> bool:
    """Whether an array of this name is read."""
    return name.lower() in KNOWN


def dataset(name: str, arrays: Mapping[str, np.ndarray], where: str, request: Request) -> Dataset:
    """The data set in arrays by name, of which all are read.

    Raises:
        DataError: one is missing, or is no such array; names it.
    """
    images = _chosen(arrays, IMAGES, where)
    labels = _chosen(arrays, LABELS, where)
    names = next((arrays[key] for key in arrays if key.lower() in CLASSES), None)
    for needed, found in (("images", images), ("labels", labels)):
        if "train" not in found:
            others = ", ".join(key for key in arrays if is_known(key))
            what = f"beside {others} " if others else ""
            raise DataError(
                f"there is no array {needed!r} {what}in the file",
                where=where,
                remedy=nearest(needed, list(arrays)) if not others else REMEDY,
            )
    for part, (key, array) in images.items():
        if part not in labels:
            raise DataError(f"{key} has no labels beside it", where=where, remedy=REMEDY)
        its, target = labels[part]
        if array.ndim and not len(array):
            raise DataError(f"{key} holds no image", where=where)
        if not array.ndim or not target.ndim or len(target) != len(array):
            raise DataError(
                f"{len(array) if array.ndim else 1} {key} but {its} of shape {target.shape}",
                where=where,
            )
    alone = [key for part, (key, _) in labels.items() if part not in images]
    if alone:
        raise DataError(f"{alone[0]} has no images beside it", where=where, remedy=REMEDY)
    form = form_of(list(images.values()), request.data.max_level, where)
    if words := form.words():
        request.watch.note(f"{name}: {words}")
    classes, numbers = label_arrays.read(labels, names, where, request.watch)
    parts = {
        part: _part(array, numbers[part], form, request) for part, (_, array) in images.items()
    }
    origins = {} if len(parts) > 1 else {"test": SPLIT_OFF}
    if len(parts) == 1:
        parts["train"], parts["test"] = split_off_test(parts["train"])
    white = 0.0 if form.is_float else form.white
    return Dataset(
        name,
        classes,
        parts["train"],
        parts.get("test"),
        valid=parts.get("valid"),
        origins=origins,
        white=white,
    )


def _chosen(
    arrays: Mapping[str, np.ndarray], table: dict[str, tuple[str, ...]], where: str
) -> dict[str, tuple[str, np.ndarray]]:
    """Part -> name and array, of the parts that are there."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for part, names in table.items():
        keys = [key for key in arrays if key.lower() in names]
        if len(keys) > 1:
            raise DataError(
                f"{' and '.join(keys[:2])} may both be meant", where=where, remedy="leave one out"
            )
        if keys:
            found[part] = keys[0], arrays[keys[0]]
    return found


def _part(array: np.ndarray, numbers: np.ndarray, form: Form, request: Request) -> AnyPart:
    """A part in memory, or one that is read from its file as it is needed."""
    labels = torch.from_numpy(numbers)
    size = request.data.image_size
    if isinstance(array, np.memmap) and array.size > request.data.stream_above << 20 and not size:
        return MappedPart(array, labels, torch.arange(len(labels)), form)
    # In pieces: a float takes eight times the room of a byte.
    pieces = (torch.from_numpy(form(np.asarray(chunk))) for chunk in chunks(array))
    if size:
        pieces = (resized(piece, size) for piece in pieces)
    return Part(torch.cat(list(pieces)), labels)
