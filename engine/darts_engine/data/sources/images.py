"""`folder:DIR`: one sub-folder of images per class, in `train/` and optional `test/` or `val/`.

Without those, DIR itself holds the class folders. Images are grey or RGB. They are of one size, or
are resized to one with `--image-size`. A folder whose images would fill more memory than
`--stream-above` is streamed, in RGB. So is `imagenet`, whose folder has `train/` and `val/`.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from darts_engine.data.dataset import Dataset, Part, Request, existing, split_off_test
from darts_engine.data.decoders import Decoders
from darts_engine.data.decoding import open_image
from darts_engine.data.files import published
from darts_engine.data.streaming import StreamedPart
from darts_engine.run.errors import DataError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET_SIZE = 224


def load(request: Request) -> Dataset:
    """Read a folder into memory, or prepare to stream it.

    Raises:
        DataError: a folder is missing or empty, an image cannot be read, or sizes differ; names
            the file.
    """
    root = existing(request.rest, "folder")
    if not root.is_dir():
        raise DataError("folder: the path is a file", where=str(root), remedy="did you mean npz: ?")
    train_root = root / "train" if (root / "train").is_dir() else root
    classes = _classes(train_root)
    size = request.data.image_size
    streamed_size = _streamed_size(train_root, classes, request)
    if streamed_size:
        return _streamed(root, train_root, classes, streamed_size, request)
    grey = _is_grey(train_root, classes)
    train = _read(train_root, classes, size, grey)
    test_root = _test_root(root, train_root, classes)
    if test_root is None:
        train, test = split_off_test(train)
    else:
        test = _read(test_root, classes, size, grey, train.images.shape[1:3])
    return Dataset(root.name, classes, train, test)


def imagenet(request: Request) -> Dataset:
    """ImageNet (Russakovsky et al., 2015), or a folder laid out like it; streamed.

    Raises:
        DataError: there is no such folder. ImageNet cannot be downloaded: put it there.
    """
    root = Path(request.rest).expanduser() if request.rest else None
    root = root or published.data_folder(request.data.data_dir) / "imagenet"
    for name in ("train", "val"):
        if not (root / name).is_dir():
            raise DataError(
                f"imagenet: there is no folder {name}/; ImageNet is not to be had without a login",
                where=str(root / name),
                remedy=f"lay it out as {name}/CLASS/IMAGE there, or name its folder: imagenet:DIR",
            )
    classes = _classes(root / "train")
    size = request.data.image_size or IMAGENET_SIZE
    found = _streamed(root, root / "train", classes, size, request)
    return Dataset("imagenet", found.classes, found.train, found.test, statistics=IMAGENET)


def _streamed_size(root: Path, classes: list[str], request: Request) -> int:
    """The side in pixels at which to stream a folder; 0 = read it into memory."""
    files = [file for name in classes for file in _files(root, name)]
    if not files:
        return 0
    width, height = open_image(files[0]).size
    size = request.data.image_size
    pixels = size * size if size else width * height
    if len(files) * pixels * 3 <= request.data.stream_above << 20:
        return 0
    return size or min(width, height, IMAGENET_SIZE)


def _streamed(
    root: Path, train_root: Path, classes: list[str], size: int, request: Request
) -> Dataset:
    pool = Decoders(request.data.workers, request.watch)

    def part(folder: Path, *, may_be_empty: bool) -> StreamedPart:
        paths: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(classes):
            files = _files(folder, name)
            if not files and not may_be_empty:
                raise _no_images(folder, name)
            paths += files
            labels += [label] * len(files)
        if not paths:
            raise DataError("the folder has no images", where=str(folder))
        return StreamedPart(paths, torch.tensor(labels, dtype=torch.int64), size, pool)

    train = part(train_root, may_be_empty=False)
    test_root = _test_root(root, train_root, classes)
    if test_root is None:
        train, test = split_off_test(train)
    else:
        test = part(test_root, may_be_empty=True)
    request.watch.note(f"{root.name}: {len(train)} images are streamed at {size}x{size} pixels")
    return Dataset(root.name, classes, train, test)


def _test_root(root: Path, train_root: Path, classes: list[str]) -> Path | None:
    """The folder of the test part; None if there is none."""
    for name in ("test", "val"):
        if train_root is not root and (root / name).is_dir():
            extra = set(_classes(root / name)) - set(classes)
            if extra:
                raise DataError(
                    f"class {sorted(extra)[0]!r} is in {name}/ but not in train/",
                    where=str(root / name),
                )
            return root / name
    return None


def _classes(root: Path) -> list[str]:
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise DataError(
            "the folder has no class folders", where=str(root), remedy="expected DIR/CLASS/IMAGE"
        )
    return classes


def _files(root: Path, name: str) -> list[str]:
    """The image files of a class, as text: a million `Path` objects would be slow."""
    found = [
        os.path.join(folder, file)  # noqa: PTH118
        for folder, _, files in os.walk(root / name)
        for file in files
        if os.path.splitext(file)[1].lower() in SUFFIXES  # noqa: PTH122
    ]
    return sorted(found)


def _no_images(root: Path, name: str) -> DataError:
    return DataError(
        f"class {name!r} has no images",
        where=str(root / name),
        remedy=f"known endings: {' '.join(sorted(SUFFIXES))}",
    )


def _is_grey(root: Path, classes: list[str]) -> bool:
    """Whether the first image of every class is grey; one in colour makes the set RGB."""
    for name in classes:
        files = _files(root, name)
        if files and open_image(files[0]).mode not in ("1", "L", "LA"):
            return False
    return True


def _read(
    root: Path,
    classes: list[str],
    image_size: int,
    grey: bool,
    expected: tuple[int, ...] | None = None,
) -> Part:
    images: list[np.ndarray] = []
    labels: list[int] = []
    first = (tuple(expected), root.name) if expected else None
    for label, name in enumerate(classes):
        files = _files(root, name)
        if not files and expected is None:
            raise _no_images(root, name)
        for path in files:
            image = open_image(path).convert("L" if grey else "RGB")
            if image_size:
                image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, dtype=np.uint8)
            size = pixels.shape[:2]
            if first is None:
                first = tuple(size), Path(path).name
            if size != first[0]:
                raise DataError(
                    f"images differ in size: {size[1]}x{size[0]} here, "
                    f"{first[0][1]}x{first[0][0]} in {first[1]}",
                    where=path,
                    remedy="bring them to one size with --image-size N",
                )
            images.append(pixels if pixels.ndim == 3 else pixels[..., None])
            labels.append(label)
    if not images:
        raise DataError("the folder has no images", where=str(root))
    return Part(torch.from_numpy(np.stack(images)), torch.tensor(labels, dtype=torch.int64))
