"""Colour jitter on whole batches, with factors and an order for each image.

Brightness, contrast and saturation mix an image with black, with its mean grey and with its own
grey (Howard, 2013, arXiv 1312.5402); the hue is rotated in the HSV hexcone. The order of the four
is random for every image, as in torchvision's `ColorJitter`, which the official training uses.
"""

import torch
from torch import Tensor

# ITU-R BT.601 luma.
GREY = (0.299, 0.587, 0.114)


def jittered(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Change the colours of a batch.

    Args:
        images: (B, H, W, 3) uint8.
        factors: (B, 4) for brightness, contrast and saturation (factor 1 + f) and hue (half of f
            turns), on the images' device.
        order: (B, 4) on the CPU: which of the four comes first, second, third and last.

    Returns:
        (B, H, W, 3) float32 of 0 .. 255.
    """
    out = images.float() / 255
    changes = (_brightness, _contrast, _saturation, _hue)
    for place in range(4):
        for which, change in enumerate(changes):
            mine = (order[:, place] == which).nonzero()[:, 0].to(out.device)
            if len(mine):
                factor = factors[mine, which][:, None, None, None]
                out[mine] = change(out[mine], factor).clamp_(0, 1)
    return out * 255


def _grey(images: Tensor) -> Tensor:
    return (images * images.new_tensor(GREY)).sum(3, keepdim=True)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return images * (1 + factor)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(images).mean((1, 2), keepdim=True)
    return mean + (images - mean) * (1 + factor)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    grey = _grey(images)
    return grey + (images - grey) * (1 + factor)


def _hue(images: Tensor, factor: Tensor) -> Tensor:
    """Rotate the hue by half of the factor, in turns; value and chroma stay."""
    value, brightest = images.max(3, keepdim=True)
    chroma = value - images.min(3, keepdim=True).values
    red, green, blue = images.split(1, 3)
    safe = chroma.clamp_min(1e-12)
    sector = torch.where(
        brightest == 0,
        (green - blue) / safe,
        torch.where(brightest == 1, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = (sector + 3 * factor) % 6
    # Distance around the circle from where each channel is brightest: red 0, green 2, blue 4.
    shifts = images.new_tensor([5.0, 3.0, 1.0])
    along = (hue + shifts) % 6
    return value - chroma * torch.minimum(along, 4 - along).clamp(0, 1)
