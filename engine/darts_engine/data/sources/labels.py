"""Labels in an array: integers from 0 or 1, text, columns, or a one for the class of a row."""

from collections.abc import Mapping

import numpy as np

from darts_engine.data.dataset import nearest
from darts_engine.data.watch import Watch
from darts_engine.run.errors import DataError

MAX_CLASSES = 100_000
CONVERT = "labels=np.unique(labels, return_inverse=True)[1]"


def read(
    arrays: Mapping[str, tuple[str, np.ndarray]],
    names: np.ndarray | None,
    where: str,
    watch: Watch,
) -> tuple[list[str], dict[str, np.ndarray]]:
    """The names of the classes, and the labels (N,) int64 of each part.

    Args:
        arrays: part -> the array's name, and the array.
        names: of the classes, by label; None where the file has none.
        where: the file, for messages.
        watch: is told of labels that are not integers from 0.

    Raises:
        DataError: they are no labels of one class each; names the array.
    """
    given = None if names is None else [str(name) for name in names.reshape(-1)]
    flat: dict[str, np.ndarray] = {}
    widths = set()
    for part, (name, array) in arrays.items():
        flat[part], width = _one_each(name, array, where)
        widths.add(width)
    if len(widths) > 1:
        raise DataError("the labels of the parts have different forms", where=where)
    if any(array.dtype.kind in "US" for array in flat.values()):
        return _of_text(flat, given, where, watch)
    labels = {part: _integers(arrays[part][0], array, where) for part, array in flat.items()}
    if width := widths.pop():
        watch.note(f"{arrays['train'][0]} has a one for the class of each image")
        given = given or [str(place) for place in range(width)]
    return _of_numbers(labels, given, where, watch)


def _one_each(name: str, array: np.ndarray, where: str) -> tuple[np.ndarray, int]:
    """Labels (N,), and the number of columns that they were one-hot in; 0 if they were not."""
    if array.ndim == 1:
        return array, 0
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0], 0
    if array.ndim == 2 and array.shape[1] and array.dtype.kind in "buif":
        is_hot = array == 1
        if ((array == 0) | is_hot).all() and (is_hot.sum(1) == 1).all():
            return is_hot.argmax(1), array.shape[1]
        raise DataError(
            f"{name} has {array.shape[1]} values an image: not one class each",
            where=where,
            remedy="labels.argmax(1) takes the largest of them",
        )
    raise DataError(
        f"{name} has the shape {array.shape}", where=where, remedy="N labels are wanted"
    )


def _of_text(
    flat: dict[str, np.ndarray], given: list[str] | None, where: str, watch: Watch
) -> tuple[list[str], dict[str, np.ndarray]]:
    texts = {part: [_text(value) for value in array.tolist()] for part, array in flat.items()}
    classes = given or sorted(set(texts["train"]))
    places = {name: place for place, name in enumerate(classes)}
    for part, values in texts.items():
        if unknown := set(values) - places.keys():
            name = min(unknown)
            raise DataError(
                f"the class {name[:40]!r} of a {part} label is none of the training part's"
                if given is None
                else f"the label {name[:40]!r} is none of the class names",
                where=where,
                remedy=nearest(name, classes),
            )
    watch.note("the labels are text; classes are in alphabetical order")
    return classes, {
        part: np.array([places[value] for value in values], np.int64)
        for part, values in texts.items()
    }


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _integers(name: str, array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.floor(array)).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "biu":
        raise DataError(
            f"{name} must be integers from 0",
            where=where,
            remedy=f"found {array.dtype}; {CONVERT}",
        )
    if len(array) and (array.min() < 0 or array.max() >= MAX_CLASSES):
        raise DataError(
            f"{name} must be integers from 0, and are {array.min()} to {array.max()}",
            where=where,
            remedy=CONVERT,
        )
    return array.astype(np.int64)


def _of_numbers(
    labels: dict[str, np.ndarray], given: list[str] | None, where: str, watch: Watch
) -> tuple[list[str], dict[str, np.ndarray]]:
    count = 1 + max(int(array.max(initial=0)) for array in labels.values())
    there = set(np.unique(labels["train"]).tolist())
    from_one = there == set(range(1, count)) and not any((a == 0).any() for a in labels.values())
    if from_one and count > 2 and (given is None or len(given) == count - 1):
        watch.note(f"the labels count from 1: classes are {1} to {count - 1}")
        given = given or [str(label) for label in range(1, count)]
        labels, count = {part: array - 1 for part, array in labels.items()}, count - 1
        there = set(range(count))
    classes = given or [str(label) for label in range(count)]
    if len(classes) < count:
        raise DataError(
            f"there are labels up to {count - 1} but {len(classes)} class names", where=where
        )
    missing = [label for label in range(count) if label not in there]
    if missing:
        raise DataError(
            f"class {classes[missing[0]]!r} has no training image", where=where, remedy=CONVERT
        )
    return classes, labels
