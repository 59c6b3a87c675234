"""Decodes one image file.

Pillow recognises a file by its content, whatever its name is, and reads some kinds by starting
another program on the file. Only the kinds of `FORMATS` are tried, which Pillow decodes by itself.
"""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from darts_engine.run.errors import DataError

# Raster formats, by Pillow's names. PPM covers PGM and PBM; a camera's MPO is read as JPEG.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def open_image(path: str | Path) -> Image.Image:
    """The decoded image, with 8 bits per channel.

    Raises:
        DataError: its content is none of `FORMATS`, it cannot be read, is too large to be safe, or
            has 32 bits per channel.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            return _of_eight_bits(image)
    except UnidentifiedImageError:
        raise DataError(
            f"the image cannot be read: its content is none of {', '.join(FORMATS)}",
            where=str(path),
            remedy="convert it to PNG, or remove it",
        ) from None
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
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
