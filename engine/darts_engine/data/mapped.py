"""A part whose images stay in the file of one array, and are read as batches need them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from darts_engine.compute.device import send


@dataclass(frozen=True)
class MappedPart:
    """Some images of an array in a file: rows `rows` (N,) of `array`; `labels` (N,) int64.

    `form` makes (N, H, W, C) uint8 of some rows of the array.
    """

    array: np.ndarray
    labels: Tensor
    rows: Tensor
    form: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        height, width, channels = self.form(np.asarray(self.array[:1])).shape[1:]
        return channels, height, width

    def take(self, indices: Tensor) -> Self:
        """The chosen images, in the chosen order."""
        return replace(self, labels=self.labels[indices], rows=self.rows[indices])

    def to(self, device: torch.device) -> Self:
        """The labels on a device; images stay in their file."""
        return replace(self, labels=self.labels.to(device))

    def pick(self, indices: Tensor, device: torch.device) -> Tensor:
        """The images of `indices` (B,), which are on the CPU: (B, H, W, C) uint8 on a device."""
        picked = self.form(self.array[self.rows[indices].numpy()])
        return send(torch.from_numpy(picked), device)
