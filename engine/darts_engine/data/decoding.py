"""Decodes one image file.

Pillow recognises a file by its content, whatever its name is, and reads some kinds by starting
another program on the file. Only the kinds of `FORMATS` are tried, which Pillow decodes by itself.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from darts_engine.run.errors import DataError

# Raster formats, by Pillow's names. PPM covers PGM and PBM; a camera's MPO is read as JPEG.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


# Levels that sensors deliver in files of 16 bits.
DEPTHS = (8, 10, 12, 14, 16)


def open_image(path: str | Path, white: float = 0) -> Image.Image:
    """The decoded image, with 8 bits per channel.

    Args:
        path: of the file.
        white: the level that becomes 255 in an image of more than 8 bits; 0 is that of its mode.

    Raises:
        DataError: its content is none of `FORMATS`, it cannot be read, is too large to be safe, or
            has 32 bits per channel and no level for white is given.
    """
    with _opened(path) as image:
        image.load()
        return _of_eight_bits(image, white)


def is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits per channel."""
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def highest_level(paths: Iterable[str]) -> int:
    """The highest level in all images of 16 bits; -1 if there is no such image.

    Raises:
        DataError: as `open_image`; also for an image of 32 bits.
    """
    highest = -1
    for path in paths:
        with _opened(path) as image:
            _refuse_unknown_range(image)
            if image.mode.startswith("I;16"):
                image.load()
                highest = max(highest, int(np.asarray(image).max(initial=0)))
    return highest


def white_of(highest: int) -> int:
    """The white of a sensor whose highest level this is: the last level of 8, 10, 12, 14, 16 bits.

    Raises:
        ValueError: it has more bits.
    """
    for bits in DEPTHS:
        if highest < 1 << bits:
            return (1 << bits) - 1
    raise ValueError(f"{highest} has more than {DEPTHS[-1]} bits")


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """The image of a file, not decoded yet; what goes wrong with it becomes DataError."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except UnidentifiedImageError:
        raise DataError(
            f"the image cannot be read: its content is none of {', '.join(FORMATS)}",
            where=str(path),
            remedy="convert it to PNG, or remove it",
        ) from None
    except Image.DecompressionBombError:
        raise DataError("the image is too large to be safe", where=str(path)) from None
    except Exception as error:  # noqa: BLE001  a damaged file may fail in any way
        what = f"the image cannot be read: {(str(error).splitlines() or [''])[0]}"
        raise DataError(what[:300], where=str(path)) from None


def _of_eight_bits(image: Image.Image, white: float) -> Image.Image:
    """Scale to 8 bits; Pillow's own conversion clips at 255, which makes all white."""
    if not is_deep(image):
        return image
    if not white:
        _refuse_unknown_range(image)
    levels = np.asarray(image, dtype=np.float64)
    return Image.fromarray(scaled(levels, white or 65535, is_float=image.mode == "F"))


def _refuse_unknown_range(image: Image.Image) -> None:
    if image.mode in ("I", "F"):
        raise ValueError(
            f"mode {image.mode}: levels of 32 bits have no known range; give the one that is white "
            "with --max-level"
        )


def scaled(levels: np.ndarray, white: float, *, is_float: bool) -> np.ndarray:
    """Levels from 0 to `white` as uint8; those beyond are clipped.

    The levels of integers are stretches of equal length, as a shift by bits makes them; floats are
    rounded.
    """
    eight = np.rint(levels * (255 / white)) if is_float else np.floor(levels * (256 / (white + 1)))
    return np.nan_to_num(eight).clip(0, 255).astype(np.uint8)
