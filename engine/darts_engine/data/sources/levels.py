"""What the numbers of an image array mean: where its channels are, and which level is white.

Arrays come with channels first or last, as bytes, as wider integers, or as floats of several
ranges. What is unambiguous is read; the rest is refused with the line that converts it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from darts_engine.data.decoding import scaled, white_of
from darts_engine.run.errors import DataError

CHUNK = 1024
FROM_BYTES = "images=uint8 N x H x W x C"


@dataclass(frozen=True)
class Form:
    """How an array of images becomes (N, H, W, C) uint8.

    Attributes:
        channels_first: whether it is (N, C, H, W); else (N, H, W, C), or (N, H, W) of grey images.
        low: the level that becomes 0.
        white: the level that becomes 255; 0 where levels are bytes already.
        is_float: whether levels are floats.
    """

    channels_first: bool = False
    low: float = 0.0
    white: float = 0.0
    is_float: bool = False

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Some images of the array as (N, H, W, C) uint8."""
        if self.white:
            levels = raw.astype(np.float64) - self.low
            raw = scaled(levels, self.white - self.low, is_float=self.is_float)
        if raw.ndim == 3:
            raw = raw[..., None]
        if self.channels_first:
            raw = raw.transpose(0, 2, 3, 1)
        return np.require(raw, requirements=["C", "W"])

    def words(self) -> str:
        """What was found, for people; empty for bytes with channels last."""
        found = ["channels first"] if self.channels_first else []
        if self.white:
            kind = "float" if self.is_float else "integer"
            found.append(f"{kind} levels from {self.low:g} (black) to {self.white:g} (white)")
        return ", ".join(found)


def form_of(arrays: Iterable[tuple[str, np.ndarray]], declared: float, where: str) -> Form:
    """The form that all arrays of images of a set have.

    Args:
        arrays: their names, the training images first.
        declared: the level that is white; 0 decides by the highest level of all.
        where: the file, for messages.

    Raises:
        DataError: the numbers are no levels of images, or may mean several things.
    """
    named = list(arrays)
    shapes = {name: _shape(name, array, where) for name, array in named}
    first = next(iter(shapes.values()))
    for name, shape in shapes.items():
        if shape[1:] != first[1:]:
            raise DataError(
                f"training and test images differ in size: {name} has the shape {shape}",
                where=where,
            )
    kinds = {array.dtype.kind for _, array in named}
    channels_first = _is_channels_first(first)
    if all(array.dtype == np.uint8 for _, array in named) and not declared:
        return Form(channels_first)
    if "f" in kinds:
        return _float_form(named, declared, channels_first, where)
    highest = max(int(chunk.max()) for _, array in named for chunk in chunks(array))
    lowest = min(int(chunk.min()) for _, array in named for chunk in chunks(array))
    if lowest < 0:
        raise _no_levels(f"levels begin at {lowest}, below 0", where)
    if kinds == {"b"}:
        return Form(channels_first, white=1.0, is_float=True)
    try:
        white = declared or float(white_of(highest))
    except ValueError:
        raise _no_levels(f"levels go up to {highest:,}, beyond 16 bits", where) from None
    return Form(channels_first, white=0.0 if white == 255 else white)


def chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """An array in pieces: a mapped one is not read into the memory at once."""
    for start in range(0, len(array), CHUNK):
        yield array[start : start + CHUNK]


def _shape(name: str, array: np.ndarray, where: str) -> tuple[int, ...]:
    if not len(array) if array.ndim else True:
        raise DataError(f"{name} holds no image", where=where)
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{name} has numbers of the kind {array.dtype}", where=where, remedy=FROM_BYTES
        )
    shape = array.shape
    if len(shape) == 2:
        side = round(shape[1] ** 0.5)
        square = f"({side}, {side})" if side * side == shape[1] else "(height, width)"
        raise DataError(
            f"{name} has the shape {shape}: an image a row, flat",
            where=where,
            remedy=f"images={name}.reshape(-1, {square[1:-1]})",
        )
    if len(shape) not in (3, 4) or 0 in shape:
        raise DataError(f"{name} has the shape {shape}", where=where, remedy=FROM_BYTES)
    return shape if len(shape) == 4 else (*shape, 1)


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether (N, a, b, c) is rather (N, C, H, W): images are square, or wider than their bands."""
    _, a, b, c = shape
    last_fits = c in (1, 3) or c < min(a, b)
    first_fits = a in (1, 3) or a < min(b, c)
    if first_fits == last_fits:
        return b == c and a != b
    return first_fits


def _float_form(
    named: list[tuple[str, np.ndarray]], declared: float, channels_first: bool, where: str
) -> Form:
    low, high = np.inf, -np.inf
    for name, array in named:
        for place, chunk in enumerate(chunks(array)):
            if not np.isfinite(chunk).all():
                bad = ~np.isfinite(chunk).reshape(len(chunk), -1).all(1)
                index = place * CHUNK + int(bad.argmax())
                raise DataError(f"{name}[{index}] has a level that is not a number", where=where)
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
    if declared and low >= 0:
        return Form(channels_first, white=declared, is_float=True)
    if low < 0:
        if low < -1 or high > 1:
            raise _no_levels(f"levels go from {low:.4g} to {high:.4g}: normalised images?", where)
        return Form(channels_first, -1.0, 1.0, is_float=True)
    if high <= 1:
        return Form(channels_first, white=1.0, is_float=True)
    try:
        return Form(channels_first, white=float(white_of(int(np.ceil(high)))), is_float=True)
    except ValueError:
        raise _no_levels(f"levels go up to {high:.4g}", where) from None


def _no_levels(what: str, where: str) -> DataError:
    return DataError(
        what,
        where=where,
        remedy="images=((x - x.min()) / (x.max() - x.min()) * 255).astype('uint8'), or --max-level",
    )
