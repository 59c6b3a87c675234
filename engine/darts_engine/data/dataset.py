"""What a data set is to the engine: uint8 images in memory, labels, class names, and its parts.

Images are (N, H, W, C): batches are gathered in that layout and seen by the network as
channels-last without a copy. The alpha half exists in a search only.
"""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine import streams
from darts_engine.device import send
from darts_engine.run import catalog
from darts_engine.run.errors import DataError

TEST_EVERY = 5


@dataclass(frozen=True)
class Part:
    """Some of a data set: `images` (N, H, W, C) uint8, `labels` (N,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "Part":
        """The chosen images, in the chosen order."""
        return Part(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "Part":
        """The same on a device; images that would fill half its free memory stay where they are."""
        images = self.images
        if device.type != "cuda" or images.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
            images = images.to(device)
        return Part(images, self.labels.to(device))

    def pick(self, indices: Tensor, device: torch.device) -> Tensor:
        """The images of `indices` (B,), which are on the CPU: (B, H, W, C) uint8 on a device."""
        if self.images.device == device:
            return self.images[send(indices, device)]
        return send(self.images[indices], device)


@dataclass(frozen=True)
class Dataset:
    """`train` and `test` parts and the names of the classes, which labels index."""

    name: str
    classes: list[str]
    train: Part
    test: Part

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        height, width, channels = self.train.images.shape[1:]
        return channels, height, width

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel over the training part, in 0 .. 1."""
        pixels = self.train.images.flatten(0, 2).to(torch.float64) / 255
        return pixels.mean(0).float(), pixels.std(0, correction=0).clamp_min(1e-3).float()


def load(dataset: str, image_size: int) -> Dataset:
    """The data set that a setting like `digits`, `npz:FILE` or `folder:DIR` names.

    Args:
        dataset: the setting.
        image_size: edge length to resize to in pixels; 0 = as they are.

    Raises:
        DataError: it cannot be read, or makes no sense as a classification problem.
        NotFoundError: there is no such kind of data set.
    """
    kind, _, rest = dataset.partition(":")
    loader = catalog.resolve("data set", catalog.DATASETS, kind)
    found: Dataset = loader(rest, image_size)
    _check(found)
    if image_size and found.train.images.shape[1:3] != (image_size, image_size):
        return replace(
            found, train=_resized(found.train, image_size), test=_resized(found.test, image_size)
        )
    return found


def _check(dataset: Dataset) -> None:
    if len(dataset.classes) < 2:
        raise DataError(
            "a classification needs at least two classes",
            where=dataset.name,
            remedy=f"found {len(dataset.classes)}",
        )
    # A search gives every second image of a class to alpha, and batch norm needs two of them.
    for_alpha = int((dataset.train.labels.bincount() // 2).sum())
    if len(dataset.train) < 2 * len(dataset.classes) or for_alpha < 2:
        raise DataError(
            f"{len(dataset.train)} training images are too few for {len(dataset.classes)} classes",
            where=dataset.name,
        )


def _resized(part: Part, size: int) -> Part:
    images = part.images.permute(0, 3, 1, 2).float()
    shrinks = size < min(images.shape[2:])
    chunks = [
        functional.interpolate(chunk, (size, size), mode="bilinear", antialias=shrinks)
        for chunk in images.split(1024)
    ]
    resized = torch.cat(chunks).round().clamp(0, 255).to(torch.uint8)
    return Part(resized.permute(0, 2, 3, 1).contiguous(), part.labels)


def ranks_in_class(labels: Tensor) -> Tensor:
    """For each image, how many of its class stand before it."""
    ranks = torch.empty_like(labels)
    for label in labels.unique():
        mine = labels == label
        ranks[mine] = torch.arange(int(mine.sum()), device=labels.device)
    return ranks


def split_off_test(part: Part) -> tuple[Part, Part]:
    """Training and test part of a set that has no test part: every fifth image of each class."""
    is_test = ranks_in_class(part.labels) % TEST_EVERY == TEST_EVERY - 1
    return part.take((~is_test).nonzero()[:, 0]), part.take(is_test.nonzero()[:, 0])


def halves(part: Part) -> tuple[Part, Part]:
    """The half that weights learn from and the half that alpha learns from.

    DEVIATION: the official code cuts the training set in the middle, which is only fair when it is
    shuffled on disk. Images of each class go to the two halves in turn, so that folders sorted by
    class and sets sorted by writer are halved fairly too.
    """
    is_alpha = ranks_in_class(part.labels) % 2 == 1
    return part.take((~is_alpha).nonzero()[:, 0]), part.take(is_alpha.nonzero()[:, 0])


def hold_out(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """The data set with part of its training images in the place of its test part.

    Args:
        dataset: its own test part is let go of, so nobody can look at it.
        fraction: of each class's training images, rounded; one stays at least, and of two or more
            one is held out at least.
        seed: of the draw; the same one holds out the same images.
    """
    labels = dataset.train.labels
    shuffled = torch.randperm(len(labels), generator=streams.generator(seed, "hold out"))
    counts = labels.bincount(minlength=len(dataset.classes))
    held = (counts * fraction).round().long().clamp_min(1).minimum(counts - 1)
    is_held = torch.zeros(len(labels), dtype=torch.bool)
    is_held[shuffled] = ranks_in_class(labels[shuffled]) < held[labels[shuffled]]
    train, valid = (~is_held).nonzero()[:, 0], is_held.nonzero()[:, 0]
    return replace(dataset, train=dataset.train.take(train), test=dataset.train.take(valid))


def nearest(name: str, names: list[str]) -> str:
    """A hint that names what was probably meant."""
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:8])}"


def existing(path: str, kind: str) -> Path:
    """The path of a setting like `npz:PATH`.

    Raises:
        DataError: there is none; the nearest name beside it is told.
    """
    if not path:
        raise DataError(f"{kind}: needs a path", remedy=f"write {kind}:PATH")
    found = Path(path).expanduser()
    if not found.exists():
        parent = found.parent
        beside = sorted(entry.name for entry in parent.iterdir()) if parent.is_dir() else []
        hint = nearest(found.name, beside) if beside else f"there is no folder {parent}"
        raise DataError(f"{kind}: there is nothing at this path", where=str(found), remedy=hint)
    return found
