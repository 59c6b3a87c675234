"""`svhn`: house numbers, 73,257 and 26,032 colour images of 32x32 pixels.

Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011. Each part
is a MATLAB file with `X` (32, 32, 3, N) uint8 and `y` (N, 1), in which 10 stands for the digit 0.
The parts are `train_32x32.mat` and `test_32x32.mat`; the `extra` part is not used.
"""

from pathlib import Path

import numpy as np
import torch

from darts_engine.data.dataset import Dataset, Part, Request
from darts_engine.data.files import download, mat5, published
from darts_engine.data.files.published import File
from darts_engine.run.errors import DataError

STATISTICS = (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)
FOLDER = "svhn"


def load(request: Request) -> Dataset:
    """SVHN, training and test part.

    Raises:
        DataError: a file is missing and cannot be downloaded, or is broken.
    """
    root = published.data_folder(request.data.data_dir)
    train, test = (
        _part(_file(root, file, request)) for file in (published.SVHN_TRAIN, published.SVHN_TEST)
    )
    digits = [str(digit) for digit in range(10)]
    return Dataset("svhn", digits, train, test, statistics=STATISTICS)


def _file(root: Path, file: File, request: Request) -> Path:
    """A file from the folder of data sets, from `svhn/` in it, or by download."""
    for path in (root / file.name, root / FOLDER / file.name):
        if path.exists():
            if download.is_whole(path, file):
                return path
            request.watch.note(f"{path} is broken: its MD5 sum is wrong", "warning")
    return download.fetch_for(request, [file], root / FOLDER)[1]


def _part(path: Path) -> Part:
    try:
        arrays = mat5.loads(path.read_bytes())
        images, labels = arrays.get("X"), arrays.get("y")
        if images is None or images.dtype != np.uint8 or images.ndim != 4:
            raise mat5.MatError("it has no array X of bytes, 32 x 32 x 3 x N")
        if images.shape[2] != 3 or labels is None or labels.size != images.shape[3]:
            raise mat5.MatError(f"X is {images.shape}, and y does not go with it")
        numbers = labels.reshape(-1).astype(np.int64)
        if not len(numbers) or numbers.min() < 0 or numbers.max() > 10:
            raise mat5.MatError("y has labels outside of 1 .. 10")
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
    except mat5.MatError as error:
        raise DataError(f"the file is broken: {error}", where=str(path)) from None
    pixels = np.ascontiguousarray(images.transpose(3, 0, 1, 2))
    return Part(torch.from_numpy(pixels), torch.from_numpy(numbers % 10))
