"""Streams images from files, for data sets that are larger than the memory.

The random numbers of a batch are drawn before any file is read, so that they depend on seed,
purpose, epoch and step only, and not on which thread is faster. Threads decode, because Pillow
releases the interpreter's lock meanwhile; `decoders.py` has what happens when one hangs.

Training images are random crops, resized as the official `train_imagenet.py` does (area 0.08 to 1,
aspect 3/4 to 4/3, ten tries; Szegedy et al., 2015, arXiv 1409.4842). Validation images are the
centre crop of the image at a shorter side of 256/224 of the size.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from darts_engine.compute.device import send
from darts_engine.data.augment import Normalisation, normalisation
from darts_engine.data.dataset import Dataset
from darts_engine.data.decoders import Decoders
from darts_engine.data.decoding import open_image
from darts_engine.data.jitter import jittered
from darts_engine.run.settings.config import DataSection

TRIES = 10
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
MIDDLE = 224 / 256
# Batches that are decoded while the network computes another.
AHEAD = 2

# Left, upper, right, lower, in pixels.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class StreamedPart:
    """Some images of a data set, in files: `paths` and `labels` (N,) int64.

    Images are decoded to RGB of `size` x `size` pixels by `pool`, which all parts of a set share.
    `white` is as in `open_image`.
    """

    paths: Sequence[str]
    labels: Tensor
    size: int
    pool: Decoders
    white: float = 0.0

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every decoded image."""
        return 3, self.size, self.size

    def take(self, indices: Tensor) -> Self:
        """The chosen images, in the chosen order."""
        paths = [self.paths[i] for i in indices.tolist()]
        return replace(self, paths=paths, labels=self.labels[indices])

    def to(self, device: torch.device) -> Self:
        """The labels on a device; images stay in their files."""
        return replace(self, labels=self.labels.to(device))

    def pick(self, indices: Tensor, device: torch.device) -> Tensor:
        """Centre crops of the images `indices` (B,): (B, S, S, 3) uint8 on a device."""
        return joined(self.start(indices, [middle] * len(indices)), device)

    def pick_all(self, batches: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
        """`pick` of one batch after another; decoding of the next ones starts ahead of time."""
        begun: deque[list[Decoding]] = deque()
        for indices in batches:
            begun.append(self.start(indices, [middle] * len(indices)))
            if len(begun) > AHEAD:
                yield joined(begun.popleft(), device)
        while begun:
            yield joined(begun.popleft(), device)

    def start(
        self, indices: Tensor, boxes: "Sequence[Callable[[int, int], Box]]"
    ) -> "list[Decoding]":
        """Start to decode images; each function gives the crop box from width and height."""
        return [
            Decoding(self.pool, self.paths[i], box, self.size, self.white)
            for i, box in zip(indices.tolist(), boxes, strict=True)
        ]


class Decoding:
    """An image that is being decoded: the box that `box` makes of its width and height, resized."""

    def __init__(
        self,
        pool: Decoders,
        path: str,
        box: "Callable[[int, int], Box]",
        size: int,
        white: float = 0,
    ) -> None:
        self._pool, self._path, self._box, self._size = pool, path, box, size
        self._white = white
        self._future: Future[np.ndarray] = pool.submit(self._decode)

    def result(self) -> np.ndarray:
        """The image (S, S, 3) uint8, once it is decoded.

        Raises:
            DataError: it cannot be read; names its file.
        """
        return self._pool.wait(self._future, self._decode, self._path)

    def _decode(self) -> np.ndarray:
        image = open_image(self._path, self._white).convert("RGB")
        size, box = (self._size, self._size), self._box(*image.size)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))


def joined(images: "list[Decoding]", device: torch.device) -> Tensor:
    """Wait for decoded images. Returns: one batch (B, S, S, 3) uint8.

    Raises:
        DataError: an image cannot be read; names its file.
    """
    return send(torch.from_numpy(np.stack([image.result() for image in images])), device)


def middle(width: int, height: int) -> Box:
    """The centre square, as after a resize of the shorter side to 256/224 and a crop."""
    side = min(width, height) * MIDDLE
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side


class StreamDraws(NamedTuple):
    """Random numbers for a batch, one row an image; None for what is off.

    Attributes:
        crops: (B, tries, 4) in 0 .. 1: area, aspect, position from above and from the left.
        mirrored: (B, 1) bool.
        jitter: (B, 4) in -1 .. 1 for brightness, contrast, saturation and hue.
        order: (B, 4), the order of these four.
    """

    crops: Tensor
    mirrored: Tensor | None
    jitter: Tensor | None
    order: Tensor | None


@dataclass(frozen=True)
class StreamAugmentation(Normalisation):
    """Augmentation of a streamed part; `jitter` is the strength of colour changes."""

    flip: bool
    jitter: float

    @classmethod
    def of(cls, data: DataSection, dataset: Dataset, device: torch.device) -> "StreamAugmentation":
        """The augmentation of a config."""
        norm = normalisation(dataset, device)
        return cls(norm.scale, norm.offset, data.flip, data.color_jitter)

    def draw(self, _part: StreamedPart, batch: int, draws: torch.Generator) -> StreamDraws:
        """Draw the random numbers of a batch."""
        crops = torch.rand(batch, TRIES, 4, generator=draws)
        mirrored = jitter = order = None
        if self.flip:
            mirrored = torch.rand(batch, 1, generator=draws) < 0.5
        if self.jitter:
            jitter = torch.rand(batch, 4, generator=draws) * 2 - 1
            order = torch.rand(batch, 4, generator=draws).argsort(1)
        return StreamDraws(crops, mirrored, jitter, order)

    def start(self, part: StreamedPart, indices: Tensor, drawn: StreamDraws) -> "list[Decoding]":
        """Start to decode a batch."""
        return part.start(indices, [RandomBox(rows) for rows in drawn.crops.tolist()])

    def finish(self, images: "list[Decoding]", drawn: StreamDraws) -> Tensor:
        """Wait for the decoded batch and augment it. Returns: (B, 3, S, S) float32.

        Raises:
            DataError: an image cannot be read; names its file.
        """
        batch = joined(images, self.device)
        if drawn.mirrored is not None:
            mirrored = send(drawn.mirrored, self.device)[:, :, None, None]
            batch = torch.where(mirrored, batch.flip(2), batch)
        if drawn.jitter is not None and drawn.order is not None:
            factors = send(drawn.jitter * self.jitter, self.device)
            batch = jittered(batch, factors, drawn.order)
        return self.plain(batch)


class RandomBox:
    """A box of random area and aspect inside the image; `rows` (tries, 4) as in `crops`."""

    def __init__(self, rows: list[list[float]]) -> None:
        self._rows = rows

    def __call__(self, width: int, height: int) -> Box:
        """The first try that fits, else the largest centre box of an allowed aspect."""
        low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
        for area, aspect, above, before in self._rows:
            target = width * height * (AREA[0] + area * (AREA[1] - AREA[0]))
            ratio = math.exp(low + aspect * (high - low))
            w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
            if 0 < w <= width and 0 < h <= height:
                left, upper = int(before * (width - w + 1)), int(above * (height - h + 1))
                return left, upper, left + w, upper + h
        w = min(width, round(height * ASPECT[1]))
        h = min(height, round(width / ASPECT[0]))
        left, upper = (width - w) // 2, (height - h) // 2
        return left, upper, left + w, upper + h
