"""Batched augmentation on tensors: crop, flip, normalise, cutout, in a few calls per batch.

Every image has its own draw. The draws come from a stream named by epoch and step, on the CPU, so
that they are the same on every device. Cutout (DeVries and Taylor, 2017, arXiv 1708.04552) zeroes a
square after normalisation; its centre is uniform over the image, so it is clipped at the borders.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.compute.device import send
from darts_engine.data.dataset import AnyPart, Dataset
from darts_engine.run.settings.config import DataSection


class Draws(NamedTuple):
    """Random numbers for a batch, one row an image; None for what is off.

    Attributes:
        mirrored: (B, 1) bool.
        shift: (B, 2), row and column of the crop.
        centre: (B, 2), row and column of the cutout square.
        is_cut: (B,) bool, which images have a cutout.
    """

    mirrored: Tensor | None
    shift: Tensor | None
    centre: Tensor | None
    is_cut: Tensor | None


@dataclass(frozen=True)
class Normalisation:
    """pixel * `scale` (C,) + `offset` (C,) for pixels in 0 .. 255, on the device of the batches."""

    scale: Tensor
    offset: Tensor

    @property
    def device(self) -> torch.device:
        """The device of the batches."""
        return self.scale.device

    def plain(self, images: Tensor) -> Tensor:
        """(B, H, W, C) uint8 to (B, C, H, W) float32, normalised, channels-last in memory."""
        return images.float().mul_(self.scale).add_(self.offset).permute(0, 3, 1, 2)


def normalisation(dataset: Dataset, device: torch.device) -> Normalisation:
    """The normalisation by the statistics of the training part."""
    mean, std = dataset.channel_statistics()
    return Normalisation((1 / (255 * std)).to(device), (-mean / std).to(device))


@dataclass(frozen=True)
class Augmentation(Normalisation):
    """Augmentation of a part in memory; `crop_padding` and `cutout` are in pixels."""

    crop_padding: int
    flip: bool
    cutout: int
    cutout_prob: float

    @classmethod
    def of(cls, data: DataSection, dataset: Dataset, device: torch.device) -> "Augmentation":
        """The augmentation of a config, with the statistics of the training part."""
        norm = normalisation(dataset, device)
        crop, flip = data.crop_padding, data.flip
        return cls(norm.scale, norm.offset, crop, flip, data.cutout, data.cutout_prob)

    def draw(self, part: AnyPart, batch: int, draws: torch.Generator) -> Draws:
        """Draw the random numbers of a batch."""
        _, height, width = part.image_shape
        mirrored = shift = centre = is_cut = None
        if self.flip:
            mirrored = torch.rand(batch, 1, generator=draws) < 0.5
        if self.crop_padding:
            shift = torch.randint(2 * self.crop_padding + 1, (2, batch), generator=draws).T
        if self.cutout:
            centre_y = torch.randint(height, (batch,), generator=draws)
            centre_x = torch.randint(width, (batch,), generator=draws)
            centre = torch.stack([centre_y, centre_x], 1)
            if self.cutout_prob < 1:
                is_cut = torch.rand(batch, generator=draws) < self.cutout_prob
        return Draws(mirrored, shift, centre, is_cut)

    def __call__(self, part: AnyPart, indices: Tensor, drawn: Draws) -> Tensor:
        """The augmented images `indices` (B,) of `part`, as (B, C, H, W) float32."""
        batch, (_, height, width) = len(indices), part.image_shape
        picked = part.pick(indices, self.device)
        rows = torch.arange(height).expand(batch, -1)
        columns = torch.arange(width).expand(batch, -1)
        if drawn.mirrored is not None:
            columns = torch.where(drawn.mirrored, width - 1 - columns, columns)
        if drawn.shift is not None:
            rows, columns = rows + drawn.shift[:, :1], columns + drawn.shift[:, 1:]
            pad = self.crop_padding
            picked = functional.pad(picked, (0, 0, pad, pad, pad, pad))
        if drawn.mirrored is not None or drawn.shift is not None:
            picked = _gather(picked, send(rows, self.device), send(columns, self.device))
        out = self.plain(picked)
        if drawn.centre is not None:
            out = out * send(self._mask(drawn.centre, drawn.is_cut, height, width), self.device)
        return out

    def _mask(self, centre: Tensor, is_cut: Tensor | None, height: int, width: int) -> Tensor:
        """(B, 1, H, W): 0 inside each image's square, 1 elsewhere."""
        rows, columns = torch.arange(height), torch.arange(width)
        top, left = (centre - self.cutout // 2)[:, :, None].unbind(1)
        inside_y = (rows >= top) & (rows < top + self.cutout)
        inside_x = (columns >= left) & (columns < left + self.cutout)
        hole = inside_y[:, :, None] & inside_x[:, None, :]
        if is_cut is not None:
            hole &= is_cut[:, None, None]
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
