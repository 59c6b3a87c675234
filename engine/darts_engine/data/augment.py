"""Batched augmentation on tensors: crop, flip, normalise, cutout, all in a few calls per batch.

Every image gets its own draw; the draws come from a stream named by epoch and step, on the CPU, so
they are the same on every device. Cutout (DeVries and Taylor, 2017, arXiv 1708.04552) zeroes a
square after normalisation; its centre is uniform over the image, so it is clipped at the borders.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.data.dataset import Dataset, Part
from darts_engine.device import send
from darts_engine.run.config import DataSection


@dataclass(frozen=True)
class Augmentation:
    """What is done to a batch. `scale` and `offset` (C,) normalise, on the images' device."""

    crop_padding: int
    flip: bool
    cutout: int
    scale: Tensor
    offset: Tensor

    @classmethod
    def of(cls, data: DataSection, dataset: Dataset, device: torch.device) -> "Augmentation":
        """The augmentation that a config asks for, with the statistics of the training part."""
        mean, std = dataset.channel_statistics()
        scale, offset = 1 / (255 * std), -mean / std
        return cls(data.crop_padding, data.flip, data.cutout, scale.to(device), offset.to(device))

    def plain(self, images: Tensor) -> Tensor:
        """(B, H, W, C) uint8 to (B, C, H, W) float32, normalised, channels-last in memory."""
        return images.float().mul_(self.scale).add_(self.offset).permute(0, 3, 1, 2)

    def __call__(self, part: Part, indices: Tensor, draws: torch.Generator) -> Tensor:
        """The augmented images `indices` of `part`, as (B, C, H, W) float32."""
        device = part.images.device
        batch, (height, width) = len(indices), part.images.shape[1:3]
        picked = part.images[indices]
        rows = torch.arange(height).expand(batch, -1)
        columns = torch.arange(width).expand(batch, -1)
        if self.flip:
            mirrored = torch.rand(batch, 1, generator=draws) < 0.5
            columns = torch.where(mirrored, width - 1 - columns, columns)
        if self.crop_padding:
            span = 2 * self.crop_padding + 1
            shift = torch.randint(span, (2, batch, 1), generator=draws)
            rows, columns = rows + shift[0], columns + shift[1]
            pad = self.crop_padding
            picked = functional.pad(picked, (0, 0, pad, pad, pad, pad))
        if self.flip or self.crop_padding:
            picked = _gather(picked, send(rows, device), send(columns, device))
        out = self.plain(picked)
        if self.cutout:
            out = out * send(self._mask(batch, height, width, draws), device)
        return out

    def _mask(self, batch: int, height: int, width: int, draws: torch.Generator) -> Tensor:
        """(B, 1, H, W): 0 inside each image's square, 1 elsewhere."""
        centre_y = torch.randint(height, (batch, 1), generator=draws)
        centre_x = torch.randint(width, (batch, 1), generator=draws)
        rows, columns = torch.arange(height), torch.arange(width)
        half = self.cutout // 2
        inside_y = (rows >= centre_y - half) & (rows < centre_y - half + self.cutout)
        inside_x = (columns >= centre_x - half) & (columns < centre_x - half + self.cutout)
        hole = inside_y[:, :, None] & inside_x[:, None, :]
        return (~hole).float()[:, None]


def _gather(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """From (B, H, W, C), each image's own rows (B, h) and columns (B, w): (B, h, w, C).

    One `index_select` over all pixels: indexing with three tensors is five times slower.
    """
    batch, height, width, channels = images.shape
    first = torch.arange(batch, device=images.device)[:, None, None] * (height * width)
    pixels = first + rows[:, :, None] * width + columns[:, None, :]
    chosen = images.reshape(-1, channels).index_select(0, pixels.flatten())
    return chosen.view(batch, rows.shape[1], columns.shape[1], channels)
