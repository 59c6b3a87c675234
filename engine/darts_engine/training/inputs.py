"""The images that a trained network takes and the classes it predicts, without its data set."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darts_engine.data.augment import Normalisation
from darts_engine.data.dataset import Dataset
from darts_engine.data.streaming import StreamedPart


@dataclass(frozen=True)
class Inputs:
    """The form of the images that a network was trained on, and the classes that it predicts.

    Attributes:
        classes: their names, in the order of the logits.
        image_shape: (C, H, W).
        is_cropped: whether images of other sizes are cut to their middle, as those of streamed
            data sets are; else they are resized whole.
        norm: normalises them, on the CPU.
        white: the level that is 255 in pictures of more than 8 bits; 0 for that of their kind.
    """

    classes: list[str]
    image_shape: tuple[int, int, int]
    is_cropped: bool
    norm: Normalisation
    white: float = 0.0

    @classmethod
    def of(cls, dataset: Dataset, norm: Normalisation) -> "Inputs":
        """The inputs of a run on this data set."""
        norm = Normalisation(norm.scale.cpu(), norm.offset.cpu())
        is_cropped = isinstance(dataset.train, StreamedPart)
        return cls(dataset.classes, dataset.image_shape, is_cropped, norm, dataset.white)

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Inputs":
        """The inputs that `state` holds.

        Raises:
            KeyError: a field is missing: `state` is not of a training.
        """
        channels, height, width = state["image_shape"]
        norm = Normalisation(state["scale"], state["offset"])
        shape, white = (channels, height, width), state.get("white", 0.0)
        return cls(state["classes"], shape, state["is_cropped"], norm, white)

    def state(self) -> dict[str, Any]:
        """All fields as plain values and tensors, for a checkpoint."""
        return {
            "classes": list(self.classes),
            "image_shape": list(self.image_shape),
            "is_cropped": self.is_cropped,
            "scale": self.norm.scale,
            "offset": self.norm.offset,
            "white": self.white,
        }

    def on(self, device: torch.device) -> Normalisation:
        """The normalisation, on a device."""
        return Normalisation(self.norm.scale.to(device), self.norm.offset.to(device))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """The mean (C,) and standard deviation (C,) of levels in 0 .. 1 that it normalises by."""
        return -self.norm.offset / (255 * self.norm.scale), 1 / (255 * self.norm.scale)
