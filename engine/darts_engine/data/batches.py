"""The batches of one part of a data set: for any epoch and step, without having made those before.

The order of the images and what augmentation draws are functions of seed, purpose, epoch and step,
so a run can take up any step. A part that has to fetch its images is asked for the next batches
ahead of time.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from darts_engine import streams
from darts_engine.data.augment import Augmentation
from darts_engine.data.dataset import Part
from darts_engine.data.order import Order, num_batches
from darts_engine.device import send


class Batches:
    """The shuffled, augmented batches of a part.

    Args:
        part: the images.
        augment: what is done to them; knows the device.
        batch_size: images of a batch, of all ranks together; the last may have fewer.
        seed: of the run.
        purpose: what the batches are for; names their streams.
        rank: which of `world` processes this is; each gets its share of every batch.
        world: how many processes share a batch.

    Attributes:
        order: which images a step has.
        steps: batches of an epoch.
    """

    def __init__(
        self,
        part: Part,
        augment: Augmentation,
        batch_size: int,
        seed: int,
        purpose: str,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._part, self._augment = part, augment
        self._seed, self._purpose = seed, purpose
        self.order = Order(len(part), batch_size, seed, purpose)
        self._rank, self._world = rank, world
        self.steps = num_batches(len(part), batch_size)

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) and labels (B,) of a step; epoch and step count from 1."""
        indices = self.order.batch(epoch, step)
        stream = streams.generator(self._seed, f"augment {self._purpose}", epoch, step)
        drawn = self._augment.draw(self._part, len(indices), stream)
        if self._world > 1:
            # Drawn for all first, so that the images do not depend on how many share them.
            indices, drawn = indices[self._rank :: self._world], self._share(drawn)
        labels = self._part.labels[send(indices, self._part.labels.device)]
        return self._augment(self._part, indices, drawn), labels

    def _share(self, drawn: Any) -> Any:
        rows = (None if t is None else t[self._rank :: self._world] for t in drawn)
        return type(drawn)(*rows)


def plain_batches(part: Part, augment: Augmentation, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All images of a part in their order, without augmentation."""
    for indices in torch.arange(len(part)).split(size):
        images = augment.plain(part.pick(indices, augment.device))
        yield images, part.labels[send(indices, part.labels.device)]
