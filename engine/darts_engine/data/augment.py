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
from darts_engine.run.config import DataSection


@dataclass(frozen=True)
class Augmentation:
    """What is done to a batch, with the channel statistics on the images' device."""

    crop_padding: int
    flip: bool
    cutout: int
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, data: DataSection, dataset: Dataset, device: torch.device) -> "Augmentation":
        """The augmentation that a config asks for, with the statistics of the training part."""
        mean, std = dataset.channel_statistics()
        return cls(data.crop_padding, data.flip, data.cutout, mean.to(device), std.to(device))

    def plain(self, images: Tensor) -> Tensor:
        """(B, H, W, C) uint8 to (B, C, H, W) float32, normalised, channels-last in memory."""
        out = (images.float() / 255 - self.mean) / self.std
        return out.permute(0, 3, 1, 2)

    def __call__(self, part: Part, indices: Tensor, draws: torch.Generator) -> Tensor:
        """The augmented images `indices` of `part`, as (B, C, H, W) float32."""
        device = part.images.device
        batch, (height, width) = len(indices), part.images.shape[1:3]
        picked = part.images[indices.to(device)]
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
            index = torch.arange(batch, device=device)[:, None, None]
            picked = picked[index, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
        out = self.plain(picked)
        if self.cutout:
            out = out * self._mask(batch, height, width, draws).to(device)
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
