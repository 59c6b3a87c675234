"""The order in which images are seen: a pure function of seed, purpose and epoch.

Nothing remembers a position, so a run can take up any step without having done those before.
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
        images: how many there are.
        batch_size: how many a batch has; the last may have fewer.
        seed: of the run.
        purpose: what the batches are for; names the stream.
    """

    def __init__(self, images: int, batch_size: int, seed: int, purpose: str) -> None:
        self.images, self.batch_size = images, batch_size
        self._seed, self._purpose = seed, purpose
        self._epoch, self._shuffled = 0, torch.empty(0, dtype=torch.int64)

    def batch(self, epoch: int, step: int) -> Tensor:
        """The indices of a step's images; epoch and step count from 1.

        Steps past the end of the part begin it again, in the same order.
        """
        if self._epoch != epoch:
            draws = streams.generator(self._seed, f"order {self._purpose}", epoch)
            self._shuffled = torch.randperm(self.images, generator=draws)
            self._epoch = epoch
        start = ((step - 1) % num_batches(self.images, self.batch_size)) * self.batch_size
        return self._shuffled[start : start + self.batch_size]
