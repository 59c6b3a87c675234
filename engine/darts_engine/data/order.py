"""The order of training images: a pure function of seed, purpose and epoch.

No position is kept, so a run can resume at any step.
"""

import torch
from torch import Tensor

from darts_engine.compute import streams


def num_batches(images: int, batch_size: int) -> int:
    """Batches in an epoch. A last batch of one image is left out: batch norm needs two."""
    full, rest = divmod(images, batch_size)
    return full + (rest > 1)


class Order:
    """The shuffled batches of one part of a data set.

    Args:
        images: number of images.
        batch_size: images per batch; the last may have fewer.
        seed: of the run.
        purpose: part of the name of the random stream.
    """

    def __init__(self, images: int, batch_size: int, seed: int, purpose: str) -> None:
        self.images, self.batch_size = images, batch_size
        self._seed, self._purpose = seed, purpose
        self._epoch, self._shuffled = 0, torch.empty(0, dtype=torch.int64)

    def batch(self, epoch: int, step: int) -> Tensor:
        """The indices of a step's images; epoch and step count from 1.

        Steps after the last batch begin again with the first, in the same order.
        """
        if self._epoch != epoch:
            draws = streams.generator(self._seed, f"order {self._purpose}", epoch)
            self._shuffled = torch.randperm(self.images, generator=draws)
            self._epoch = epoch
        start = ((step - 1) % num_batches(self.images, self.batch_size)) * self.batch_size
        return self._shuffled[start : start + self.batch_size]
