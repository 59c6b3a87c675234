"""Decodes one image file."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from darts_engine.run.errors import DataError


def open_image(path: str | Path) -> Image.Image:
    """The decoded image, with 8 bits per channel.

    Raises:
        DataError: it cannot be read, is too large to be safe, or has 32 bits per channel.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return _of_eight_bits(image)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, MemoryError) as error:
        raise DataError(f"the image cannot be read: {error}", where=str(path)) from None
    except Image.DecompressionBombError:
        raise DataError("the image is too large to be safe", where=str(path)) from None


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bits to 8; Pillow's own conversion clips them at 255, which makes all white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}: levels of 32 bits have no known range")
    return image
