"""The bundled default: handwritten digits of 8x8 pixels.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning
Repository, doi 10.24432/C50P49, CC BY 4.0 (see NOTICE). 1,797 images by 13 writers, the test part
of UCI; every fifth image of each class is the test part here.
"""

from importlib import resources

import numpy as np
import torch

from darts_engine.data.dataset import Dataset, Part, Request, split_off_test

LEVELS = 16


def load(_request: Request) -> Dataset:
    """The digits, their 17 grey levels scaled to 0 .. 255."""
    with resources.files("darts_engine.data").joinpath("digits.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        images = torch.from_numpy(arrays["images"].astype(np.int64) * 255 // LEVELS)
        labels = torch.from_numpy(arrays["labels"].astype(np.int64))
    train, test = split_off_test(Part(images.to(torch.uint8).unsqueeze(-1), labels))
    return Dataset("digits", [str(digit) for digit in range(10)], train, test)
