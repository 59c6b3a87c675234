"""Time of the data path: augmented batches of tensors against transforms of single images."""

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from darts_engine.bench.timing import Comparison, compare
from darts_engine.data.augment import Augmentation
from darts_engine.data.batches import Batches
from darts_engine.data.dataset import Dataset as Images
from darts_engine.data.dataset import Part
from darts_engine.run.settings.config import DataSection

IMAGES = 50_000
BATCH = 64
WORKERS = 2


class _PerImage(Dataset[tuple[torch.Tensor, int]]):
    """Crop, flip and normalisation of one image at a time, as the papers' code does."""

    def __init__(self, part: Part) -> None:
        self.images, self.labels = part.images.numpy(), part.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def measure(rounds: int, images: int = IMAGES) -> Comparison:
    """Compare one epoch of random 32x32 RGB images.

    Ours augments batches; the reference is torchvision's transforms with two loader workers.

    Args:
        rounds: timed epochs of each side.
        images: of an epoch.
    """
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 32, 32, 3), dtype=torch.uint8, generator=draws)
    part = Part(pixels, torch.randint(10, (images,), generator=draws))
    data = Images("random", [str(c) for c in range(10)], part, part)
    section = DataSection(crop_padding=4, flip=True, batch_size=BATCH)
    augment = Augmentation.of(section, data, torch.device("cpu"))
    batches = Batches(part, augment, BATCH, 0, "bench")

    def ours() -> None:
        for step in range(1, batches.steps + 1):
            batches.batch(1, step)

    loader = DataLoader(_PerImage(part), BATCH, shuffle=True, num_workers=WORKERS)

    def reference() -> None:
        for _ in loader:
            pass

    return compare({"ours": ours, "reference": reference}, rounds)
