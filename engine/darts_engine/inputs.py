"""What a trained network takes and gives: enough to use it where its data set is not."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darts_engine.data.augment import Augmentation
from darts_engine.data.dataset import Dataset


@dataclass(frozen=True)
class Inputs:
    """The images a network was trained on, and the classes it tells apart.

    Attributes:
        classes: their names; a logit's place is its class's.
        image_shape: (C, H, W).
        scale: (C,) and `offset` (C,) normalise levels of 0 to 255: level * scale + offset.
        offset: see `scale`.
    """

    classes: list[str]
    image_shape: tuple[int, int, int]
    scale: Tensor
    offset: Tensor

    @classmethod
    def of(cls, dataset: Dataset, augment: Augmentation) -> "Inputs":
        """Those of a run on this data set."""
        return cls(dataset.classes, dataset.image_shape, augment.scale.cpu(), augment.offset.cpu())

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Inputs":
        """Those that `state` was taken of.

        Raises:
            KeyError: something is missing.
        """
        shape = state["image_shape"]
        return cls(state["classes"], tuple(shape), state["scale"], state["offset"])

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "classes": list(self.classes),
            "image_shape": list(self.image_shape),
            "scale": self.scale,
            "offset": self.offset,
        }

    @property
    def mean(self) -> Tensor:
        """(C,) of the training images, of levels in 0 .. 1."""
        return -self.offset / (255 * self.scale)

    @property
    def std(self) -> Tensor:
        """(C,), as `mean`."""
        return 1 / (255 * self.scale)

    def normalised(self, images: Tensor) -> Tensor:
        """(B, H, W, C) uint8 to (B, C, H, W) float32, channels-last in memory."""
        scale, offset = self.scale.to(images.device), self.offset.to(images.device)
        return images.to(torch.float32).mul_(scale).add_(offset).permute(0, 3, 1, 2)
