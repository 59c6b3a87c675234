"""The two halves of the training images: the weights learn from one, alpha from the other.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.1: alpha's half is called the validation set.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from darts_engine.compute import parallel
from darts_engine.data.batches import Batches, augmentation
from darts_engine.data.dataset import Dataset, halves
from darts_engine.methods.architects.first_order import Shards
from darts_engine.run import events
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures, about, evaluate
from darts_engine.search.sides import Sides
from darts_engine.supernet.relaxed import Batch


class Halves(Sides):
    """The batches of both halves, and the figures of the alpha half.

    Args:
        config: its sections data and engine.
        dataset: its training part is halved; no image of another part is ever used.
        device: where batches are made.

    Attributes:
        alpha_part: the images of the alpha half.
        weight_batches: augmented batches of the weight half.
        alpha_batches: augmented batches of the alpha half.
        sizes: how many images each half has, and the parts that are not used.
    """

    def __init__(self, config: SearchConfig, dataset: Dataset, device: torch.device) -> None:
        self._dataset = dataset
        weight_half, alpha_half = halves(dataset.train)
        weight_part, self.alpha_part = weight_half.to(device), alpha_half.to(device)
        self._augment = augmentation(config.data, dataset, device)
        seed, batch = config.engine.seed, config.data.batch_size
        least = 1 if config.engine.sync_bn else parallel.LEAST
        self.weight_batches = Batches(
            weight_part, self._augment, batch, seed, "weights", least=least
        )
        # DEVIATION: the official code draws each alpha batch from a fresh shuffle, so an image may
        # come up many times an epoch. Ours goes through a shuffled half like any other training.
        self.alpha_batches = Batches(
            self.alpha_part, self._augment, batch, seed, "alpha", least=least
        )
        self.steps_per_epoch = self.weight_batches.steps
        self.sizes = {
            "weights": len(weight_part),
            "alpha": len(self.alpha_part),
            **{name: len(part) for name, part in dataset.parts.items() if name != "train"},
        }

    def about(self, position: Position) -> list[events.Event]:
        """Events about what the data set has, and classes that alpha's half lacks."""
        found = f"{self._dataset.found()}; a search halves the training images and sees no others"
        return about(found, replace(self._dataset, valid=self.alpha_part).thin_classes(), position)

    def count(self, epoch: int, step: int) -> int:
        """Images of the weight batch of a step, over all processes."""
        return self.weight_batches.images(epoch, step)

    def weight_batch(self, epoch: int, step: int) -> Batch:
        """Images (B, C, H, W) and labels (B,) that the weights learn from in a step, from 1."""
        return self.weight_batches.batch(epoch, step)

    def alpha_batch(self, epoch: int, step: int) -> Batch:
        """Images (B, C, H, W) and labels (B,) that alpha learns from in a step, from 1."""
        return self.alpha_batches.batch(epoch, step)

    def shards(self, epoch: int, step: int) -> Shards:
        """This process's part of a step's alpha batch and weight batch."""
        return self.alpha_batches.shard(epoch, step), self.weight_batches.shard(epoch, step)

    def cut_out(self, prob: float) -> None:
        """Cut a square out of an image with this probability from now on."""
        self.weight_batches.cut_out(prob)
        self.alpha_batches.cut_out(prob)

    def validate(self, predict: Callable[[Tensor], Tensor], most: int = 0) -> Figures:
        """Mean loss and accuracies on the alpha half, without augmentation.

        Args:
            predict: from images (B, C, H, W) to logits (B, classes), in evaluation mode.
            most: use the first so many images; 0 uses all.
        """
        part = self.alpha_part
        if 0 < most < len(part):
            part = part.take(torch.arange(most))
        return evaluate(part, self._augment, predict)
