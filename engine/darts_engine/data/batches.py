"""The batches of one part of a data set, for any epoch and step.

The order of the images and the draws of augmentation are functions of seed, purpose, epoch and
step, so a run can resume at any step. A streamed part starts to decode the next batches ahead of
time.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from darts_engine.compute import parallel, streams
from darts_engine.compute.device import send
from darts_engine.compute.parallel import Shard, World
from darts_engine.data.augment import Augmentation, Normalisation
from darts_engine.data.dataset import AnyPart, Dataset
from darts_engine.data.order import Order, num_batches
from darts_engine.data.streaming import AHEAD, StreamAugmentation, StreamedPart
from darts_engine.run.settings.config import DataSection

AnyAugmentation = Augmentation | StreamAugmentation


def augmentation(data: DataSection, dataset: Dataset, device: torch.device) -> AnyAugmentation:
    """The augmentation of a config for the training part of a data set."""
    if isinstance(dataset.train, StreamedPart):
        return StreamAugmentation.of(data, dataset, device)
    return Augmentation.of(data, dataset, device)


class Batches:
    """The shuffled, augmented batches of a part.

    Args:
        part: the images.
        augment: augments them; has the device.
        batch_size: images of a batch, over all ranks; the last may have fewer.
        seed: of the run.
        purpose: part of the names of the random streams.
        world: the processes that share a batch; each gets its shard.
        least: fewest images of a shard; if a rank had fewer, each takes the whole batch.

    Attributes:
        order: the images of each step.
        steps: batches per epoch.
    """

    def __init__(
        self,
        part: AnyPart,
        augment: AnyAugmentation,
        batch_size: int,
        seed: int,
        purpose: str,
        *,
        world: World | None = None,
        least: int = parallel.LEAST,
    ) -> None:
        self._part, self._augment = part, augment
        self._seed, self._purpose = seed, purpose
        self.order = Order(len(part), batch_size, seed, purpose)
        self._world, self._least = world or parallel.world(), least
        self.steps = num_batches(len(part), batch_size)
        # Batches of a streamed part that are being decoded, by epoch and step.
        self._ahead: dict[tuple[int, int], tuple[Any, ...]] = {}

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) and labels (B,) of a step; epoch and step count from 1."""
        if isinstance(self._part, StreamedPart):
            return self._streamed(self._part, epoch, step)
        indices, drawn = self._chosen(epoch, step)
        assert isinstance(self._augment, Augmentation)
        return self._augment(self._part, indices, drawn), self._labels(indices)

    def _chosen(self, epoch: int, step: int) -> tuple[Tensor, Any]:
        """This process's images of a step, and their draws."""
        indices = self.order.batch(epoch, step)
        stream = streams.generator(self._seed, f"augment {self._purpose}", epoch, step)
        drawn: Any = self._augment.draw(self._part, len(indices), stream)  # type: ignore[arg-type]
        # Drawn for the whole batch, so that an image does not depend on the number of ranks.
        mine = self._shard(len(indices)).mine
        return indices[mine], type(drawn)(*(None if t is None else t[mine] for t in drawn))

    def _labels(self, indices: Tensor) -> Tensor:
        return self._part.labels[send(indices, self._part.labels.device)]

    def _streamed(self, part: StreamedPart, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """As `batch`. Decoding of the next batches starts before this one is waited for."""
        augment = self._augment
        assert isinstance(augment, StreamAugmentation)
        places = [(epoch, later) for later in range(step, min(step + AHEAD, self.steps) + 1)]
        for place in places or [(epoch, step)]:
            if place not in self._ahead:
                indices, drawn = self._chosen(*place)
                self._ahead[place] = indices, drawn, augment.start(part, indices, drawn)
        indices, drawn, images = self._ahead.pop((epoch, step))
        self._ahead = {place: self._ahead[place] for place in places[1:]}
        return augment.finish(images, drawn), self._labels(indices)

    def cut_out(self, prob: float) -> None:
        """Set the probability of cutout, if the config has cutout."""
        if isinstance(self._augment, Augmentation):
            self._augment = replace(self._augment, cutout_prob=prob)

    def images(self, epoch: int, step: int) -> int:
        """Images in the batch of a step, over all ranks."""
        return len(self.order.batch(epoch, step))

    def shard(self, epoch: int, step: int) -> Shard:
        """This process's part of the batch of a step."""
        return self._shard(self.images(epoch, step))

    def _shard(self, count: int) -> Shard:
        return self._world.shard(count, self._least)


def plain_batches(
    part: AnyPart, augment: Normalisation, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images of a part in their order, without augmentation; a rank gets every N-th batch."""
    world = parallel.world()
    batches = torch.arange(len(part)).split(size)[world.rank :: world.size]
    if isinstance(part, StreamedPart):
        picked = part.pick_all(batches, augment.device)
    else:
        picked = (part.pick(indices, augment.device) for indices in batches)
    for indices, levels in zip(batches, picked, strict=True):
        images = augment.plain(levels)
        yield images, part.labels[send(indices, part.labels.device)]
