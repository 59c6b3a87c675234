"""`folder:DIR`: one sub-folder of images per class, in `train/` and optional `test/` or `val/`.

Without those, DIR itself holds the class folders. Images are greyscale or RGB; all of one size, or
brought to one with `--image-size`.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from darts_engine.data.dataset import Dataset, Part, existing, split_off_test
from darts_engine.run.errors import DataError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def load(rest: str, image_size: int) -> Dataset:
    """Read the folder at `rest`; images are resized to `image_size` pixels when it is not 0.

    Raises:
        DataError: a missing or empty folder, an unreadable image, or mixed sizes; names the file.
    """
    root = existing(rest, "folder")
    if not root.is_dir():
        raise DataError("folder: the path is a file", where=str(root), remedy="did you mean npz: ?")
    train_root = root / "train" if (root / "train").is_dir() else root
    classes = _classes(train_root)
    grey = _is_grey(train_root, classes)
    train = _read(train_root, classes, image_size, grey)
    for name in ("test", "val"):
        if train_root is not root and (root / name).is_dir():
            extra = set(_classes(root / name)) - set(classes)
            if extra:
                raise DataError(
                    f"class {sorted(extra)[0]!r} is in {name}/ but not in train/",
                    where=str(root / name),
                )
            test = _read(root / name, classes, image_size, grey, train.images.shape[1:3])
            return Dataset(root.name, classes, train, test)
    train, test = split_off_test(train)
    return Dataset(root.name, classes, train, test)


def _classes(root: Path) -> list[str]:
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise DataError(
            "the folder has no class folders", where=str(root), remedy="expected DIR/CLASS/IMAGE"
        )
    return classes


def _files(root: Path, name: str) -> list[Path]:
    return sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in SUFFIXES)


def _is_grey(root: Path, classes: list[str]) -> bool:
    """Greyscale when the first image of every class is: one colour image makes the set RGB."""
    for name in classes:
        files = _files(root, name)
        if files and _open(files[0]).mode not in ("1", "L", "LA"):
            return False
    return True


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
        return _of_eight_bits(image)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, MemoryError) as error:
        raise DataError(f"the image cannot be read: {error}", where=str(path)) from None
    except Image.DecompressionBombError:
        raise DataError("the image is too large to be safe", where=str(path)) from None


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """The image with 256 levels; Pillow's own conversion cuts 16 bits off at 255: all white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}: levels of 32 bits have no known range")
    return image


def _read(
    root: Path,
    classes: list[str],
    image_size: int,
    grey: bool,
    expected: tuple[int, ...] | None = None,
) -> Part:
    images: list[np.ndarray] = []
    labels: list[int] = []
    first: tuple[tuple[int, ...], Path] | None = (tuple(expected), root) if expected else None
    for label, name in enumerate(classes):
        files = _files(root, name)
        if not files and expected is None:
            raise DataError(
                f"class {name!r} has no images",
                where=str(root / name),
                remedy=f"known endings: {' '.join(sorted(SUFFIXES))}",
            )
        for path in files:
            image = _open(path).convert("L" if grey else "RGB")
            if image_size:
                image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, dtype=np.uint8)
            size = pixels.shape[:2]
            if first is None:
                first = size, path
            if size != first[0]:
                raise DataError(
                    f"images differ in size: {size[1]}x{size[0]} here, "
                    f"{first[0][1]}x{first[0][0]} in {first[1].name}",
                    where=str(path),
                    remedy="bring them to one size with --image-size N",
                )
            images.append(pixels if pixels.ndim == 3 else pixels[..., None])
            labels.append(label)
    if not images:
        raise DataError("the folder has no images", where=str(root))
    return Part(torch.from_numpy(np.stack(images)), torch.tensor(labels, dtype=torch.int64))
