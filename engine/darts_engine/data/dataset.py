"""Data sets: uint8 images, labels, class names, and a training, a validation and a test part.

Images are (N, H, W, C): batches are gathered in that layout, and the network takes them as
channels-last without a copy. A `Part` has them in memory; `streaming.StreamedPart` reads them from
files batch by batch. Only a search splits its training part into a weight half and an alpha half.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.compute.device import send
from darts_engine.data.watch import Unwatched, Watch
from darts_engine.run.errors import DataError
from darts_engine.run.settings import catalog
from darts_engine.run.settings.config import DataSection

TEST_EVERY = 5
SHOWN_CLASSES = 4
# Names of parts, and what their images are called.
PART_WORDS = {"train": "training", "valid": "validation", "test": "test"}
SPLIT_OFF = "split off the training part"
SAMPLE = 1000
# Mean and standard deviation of each channel, of pixels in 0 .. 1.
Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Request:
    """What a reader of a data set is to read.

    Attributes:
        rest: the text after the colon of the data set's name, as in `folder:DIR`.
        data: the settings.
        watch: takes reports of progress.
    """

    rest: str
    data: DataSection
    watch: Watch


class AnyPart(Protocol):
    """Some images of a data set, in memory or in files."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""

    def __len__(self) -> int: ...

    def take(self, indices: Tensor) -> Self:
        """The chosen images, in the chosen order."""

    def to(self, device: torch.device) -> Self:
        """The same part on a device, as far as there is memory."""

    def pick(self, indices: Tensor, device: torch.device) -> Tensor:
        """The images of `indices` (B,), which are on the CPU: (B, H, W, C) uint8 on a device."""


P = TypeVar("P", bound=AnyPart)


@dataclass(frozen=True)
class Part:
    """Some images of a data set, in memory: `images` (N, H, W, C) uint8, `labels` (N,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width

    def take(self, indices: Tensor) -> Self:
        """The chosen images, in the chosen order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def to(self, device: torch.device) -> Self:
        """The same on a device. Images that would fill half its free memory stay on the CPU."""
        images = self.images
        if device.type != "cuda" or images.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
            images = images.to(device)
        return replace(self, images=images, labels=self.labels.to(device))

    def pick(self, indices: Tensor, device: torch.device) -> Tensor:
        """The images of `indices` (B,), which are on the CPU: (B, H, W, C) uint8 on a device."""
        if self.images.device == device:
            return self.images[send(indices, device)]
        return send(self.images[indices], device)


@dataclass(frozen=True)
class Dataset:
    """The parts of a data set, and the names of the classes, which labels index.

    Attributes:
        train: what networks learn from.
        test: what is looked at once, at the end; where there is no `valid`, what epochs are scored
            on. None only where there is a `valid`.
        statistics: the published ones; if they are None, they are measured.
        valid: what epochs are scored and the best one is chosen on; None if there is no such part.
        origins: where a part is from, if its name does not say it: part -> as in "from val/".
        white: the level that became 255 in images of more than 8 bits; 0 if they have 8.
    """

    name: str
    classes: list[str]
    train: AnyPart
    test: AnyPart | None
    statistics: Statistics | None = None
    valid: AnyPart | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    white: float = 0.0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.train.image_shape

    @property
    def parts(self) -> dict[str, AnyPart]:
        """The parts that there are, by name: train, valid, test."""
        each = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: part for name, part in each.items() if part is not None}

    @property
    def scored(self) -> AnyPart:
        """The part that epochs are scored on: for validation, or the test part without such."""
        found = self.valid if self.valid is not None else self.test
        assert found is not None
        return found

    @property
    def looked_at(self) -> AnyPart:
        """The part of a final figure: for the test, or for validation where there is no test."""
        found = self.test if self.test is not None else self.valid
        assert found is not None
        return found

    def found(self) -> str:
        """What the set has, as in "2 classes (cat, dog), 32 training, 12 test images"."""
        shown = ", ".join(self.classes[:SHOWN_CLASSES])
        more = ", ..." if len(self.classes) > SHOWN_CLASSES else ""
        counts = [f"{len(part):,} {PART_WORDS[name]}" for name, part in self.parts.items()]
        for place, name in enumerate(self.parts):
            if origin := self.origins.get(name):
                counts[place] += f" images {origin}"
        last = "" if " images" in counts[-1] else " images"
        return f"{len(self.classes)} classes ({shown}{more}), {', '.join(counts)}{last}"

    def thin_classes(self) -> str:
        """Which classes no figure tells of, because there is none of them to validate on.

        Returns: a sentence; empty if there is no such class.
        """
        count = len(self.classes)
        trained = self.train.labels.bincount(minlength=count).tolist()
        scored = self.scored.labels.bincount(minlength=count).tolist()
        thin = [label for label in range(count) if not scored[label]]
        if not thin:
            return ""
        label = thin[0]
        images = (
            "1 training image" if trained[label] == 1 else f"{trained[label]:,} training images"
        )
        more = "1 other class has" if len(thin) == 2 else f"{len(thin) - 1} other classes have"
        others = f", and {more} none either" if thin[1:] else ""
        return f"class {self.classes[label]} has {images} and none to validate on{others}"

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (C,) of pixels in 0 .. 1: published, or measured.

        They are measured on all training images in memory, or on every n-th of a streamed part.
        """
        if self.statistics is not None:
            mean, std = (torch.tensor(values) for values in self.statistics)
            return mean, std
        if isinstance(self.train, Part):
            images = self.train.images
        else:
            sample = torch.linspace(0, len(self.train) - 1, min(SAMPLE, len(self.train))).long()
            images = self.train.pick(sample, torch.device("cpu"))
        pixels = images.flatten(0, 2).to(torch.float64) / 255
        return pixels.mean(0).float(), pixels.std(0, correction=0).clamp_min(1e-3).float()


def load(dataset: str, image_size: int = 0) -> Dataset:
    """`read` with a name and an image size only, pixels; 0 keeps the size."""
    return read(DataSection(dataset=dataset, image_size=image_size))


def read(data: DataSection, watch: Watch | None = None) -> Dataset:
    """The data set that a config names, as `digits`, `cifar10`, `npz:FILE` or `folder:DIR`.

    Args:
        data: the settings.
        watch: takes reports of downloads.

    Raises:
        DataError: it cannot be downloaded or read, or is no classification problem.
        NotFoundError: there is no such kind of data set.
        SpaceError: there is no room for it on the disk.
    """
    kind, _, rest = data.dataset.partition(":")
    loader = catalog.resolve("data set", catalog.DATASETS, kind)
    found: Dataset = loader(Request(rest, data, watch or Unwatched()))
    _check(found)
    size = data.image_size
    if not size:
        return found
    parts = {name: _resized(part, size) for name, part in found.parts.items()}
    return replace(found, **parts)  # type: ignore[arg-type]


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


def _resized(part: AnyPart, size: int) -> AnyPart:
    return replace(part, images=resized(part.images, size)) if isinstance(part, Part) else part


def resized(images: Tensor, size: int) -> Tensor:
    """Images (N, H, W, C) uint8 of `size` x `size` pixels."""
    if images.shape[1:3] == (size, size):
        return images
    images = images.permute(0, 3, 1, 2).float()
    shrinks = size < min(images.shape[2:])
    chunks = [
        functional.interpolate(chunk, (size, size), mode="bilinear", antialias=shrinks)
        for chunk in images.split(1024)
    ]
    out = torch.cat(chunks).round().clamp(0, 255).to(torch.uint8)
    return out.permute(0, 2, 3, 1).contiguous()


def ranks_in_class(labels: Tensor) -> Tensor:
    """(N,) for each image, how many images of its class come before it."""
    ranks = torch.empty_like(labels)
    for label in labels.unique():
        mine = labels == label
        ranks[mine] = torch.arange(int(mine.sum()), device=labels.device)
    return ranks


def split_off_test(part: P) -> tuple[P, P]:
    """Split into training and test part; every fifth image of each class is for testing."""
    is_test = ranks_in_class(part.labels) % TEST_EVERY == TEST_EVERY - 1
    return part.take((~is_test).nonzero()[:, 0]), part.take(is_test.nonzero()[:, 0])


def halves(part: P) -> tuple[P, P]:
    """Split into the half that weights learn from and the half that alpha learns from.

    DEVIATION: the official code cuts the training set in the middle, which is only fair when it is
    shuffled on disk. Images of each class go to the two halves in turn, so that folders sorted by
    class and sets sorted by writer are halved fairly too.
    """
    is_alpha = ranks_in_class(part.labels) % 2 == 1
    return part.take((~is_alpha).nonzero()[:, 0]), part.take(is_alpha.nonzero()[:, 0])


def hold_out(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Validate on held-out training images.

    Args:
        dataset: its own validation and test parts are dropped, so that nothing can be chosen by
            them.
        fraction: of each class's training images, rounded. At least one stays, and of two or more
            at least one is held out.
        seed: of the draw; the same seed holds out the same images.
    """
    labels = dataset.train.labels
    shuffled = torch.randperm(len(labels), generator=streams.generator(seed, "hold out"))
    counts = labels.bincount(minlength=len(dataset.classes))
    held = (counts * fraction).round().long().clamp_min(1).minimum(counts - 1)
    is_held = torch.zeros(len(labels), dtype=torch.bool)
    is_held[shuffled] = ranks_in_class(labels[shuffled]) < held[labels[shuffled]]
    train, valid = (~is_held).nonzero()[:, 0], is_held.nonzero()[:, 0]
    return replace(
        dataset,
        train=dataset.train.take(train),
        valid=dataset.train.take(valid),
        test=None,
        origins={"valid": "held out of the training part"},
    )


def nearest(name: str, names: list[str]) -> str:
    """A hint with the most similar name, or with all names."""
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:8])}"


def existing(path: str, kind: str) -> Path:
    """The path of a setting like `npz:PATH`.

    Raises:
        DataError: nothing is there. The hint has the most similar name in the folder.
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
