"""`folder:DIR`: one sub-folder of images per class, in folders of parts or in DIR itself.

`listing.py` says what is found there; with `--labels` a table says it (`label_table.py`). Images
are grey or RGB. They are of one size, or are resized to one with `--image-size`. A folder whose
images would fill more memory than `--stream-above` is streamed, in RGB. So is `imagenet`, whose
folder has `train/` and `val/`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from darts_engine.data.dataset import SAMPLE, Dataset, Part, Request, existing, split_off_test
from darts_engine.data.decoders import Decoders
from darts_engine.data.decoding import highest_level, open_image, white_of
from darts_engine.data.files import published
from darts_engine.data.sources import label_table, listing
from darts_engine.data.sources.listing import Found, Listing
from darts_engine.data.streaming import StreamedPart
from darts_engine.run.errors import DataError

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET_SIZE = 224
# Of more files than these, a sample tells the highest level.
MOST_LOOKED_AT = 100_000


def load(request: Request) -> Dataset:
    """Read a folder into memory, or prepare to stream it.

    Raises:
        DataError: a folder is missing or empty, an image cannot be read, or sizes differ; names
            the file.
    """
    root = existing(request.rest, "folder")
    if not root.is_dir():
        raise DataError("folder: the path is a file", where=str(root), remedy="did you mean npz: ?")
    if table := request.data.labels:
        found = label_table.listed(root, Path(table).expanduser(), request.watch)
    else:
        found = listing.listed(root, request.watch)
    if size := _streamed_size(found, request):
        return _streamed(root, found, size, request)
    white = _white(root, found, request)
    grey = _is_grey(found)
    parts: dict[str, Part] = {}
    for name, files in found.parts.items():
        shape = parts["train"].images.shape[1:3] if parts else None
        parts[name] = _read(files, request.data.image_size, grey, white, shape)
    if len(parts) == 1:
        parts["train"], parts["test"] = split_off_test(parts["train"])
    return Dataset(
        root.name,
        found.classes,
        parts["train"],
        parts.get("test"),
        valid=parts.get("valid"),
        origins=found.origins,
        white=white,
    )


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
    found = listing.listed(root, request.watch)
    size = request.data.image_size or IMAGENET_SIZE
    made = _streamed(root, found, size, request)
    return replace(made, name="imagenet", statistics=IMAGENET)


def _streamed_size(found: Found, request: Request) -> int:
    """The side in pixels at which to stream a folder; 0 = read it into memory."""
    count = sum(len(part.files) for part in found.parts.values())
    width, height = open_image(found.parts["train"].files[0], request.data.max_level).size
    size = request.data.image_size
    pixels = size * size if size else width * height
    if count * pixels * 3 <= request.data.stream_above << 20:
        return 0
    return size or min(width, height, IMAGENET_SIZE)


def _streamed(root: Path, found: Found, size: int, request: Request) -> Dataset:
    pool = Decoders(request.data.workers, request.watch)
    white = _white(root, found, request)
    parts = {
        name: StreamedPart(
            part.files, torch.tensor(part.labels, dtype=torch.int64), size, pool, white
        )
        for name, part in found.parts.items()
    }
    if len(parts) == 1:
        parts["train"], parts["test"] = split_off_test(parts["train"])
    count = len(parts["train"])
    request.watch.note(f"{root.name}: {count} images are streamed at {size}x{size} pixels")
    return Dataset(
        root.name,
        found.classes,
        parts["train"],
        parts.get("test"),
        valid=parts.get("valid"),
        origins=found.origins,
        white=white,
    )


def _white(root: Path, found: Found, request: Request) -> float:
    """The level that is white in images of 16 bits, declared or by the highest; 0 without such.

    All files are looked at, or `SAMPLE` of a larger set.
    """
    if request.data.max_level:
        return request.data.max_level
    files = [file for part in found.parts.values() for file in part.files]
    chosen = files[:: -(-len(files) // SAMPLE)] if len(files) > MOST_LOOKED_AT else files
    highest = highest_level(chosen)
    if highest < 0:
        return 0.0
    white = white_of(highest)
    some = f" of {len(chosen):,} of them" if len(chosen) < len(files) else ""
    request.watch.note(
        f"{root.name}: images of 16 bits; their highest level{some} is {highest:,}, so {white:,} "
        "is white (--max-level N sets another)"
    )
    return float(white)


def _is_grey(found: Found) -> bool:
    """Whether the first image of every class is grey; one in colour makes the set RGB."""
    train = found.parts["train"]
    firsts = {label: file for file, label in zip(reversed(train.files), reversed(train.labels),
                                                 strict=True)}  # fmt: skip
    return all(open_image(file, 1).mode in ("1", "L", "LA") for file in firsts.values())


def _read(
    listed: Listing,
    image_size: int,
    grey: bool,
    white: float,
    expected: tuple[int, ...] | None = None,
) -> Part:
    images: list[np.ndarray] = []
    first = (tuple(expected), "the training part") if expected else None
    for path in listed.files:
        image = open_image(path, white).convert("L" if grey else "RGB")
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
    labels = torch.tensor(listed.labels, dtype=torch.int64)
    return Part(torch.from_numpy(np.stack(images)), labels)
