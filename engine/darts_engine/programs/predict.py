"""Labels images with a trained network.

`python -m darts_engine.programs.predict CONFIG.toml IMAGE...` writes a `Prediction` per image, in
their order, as JSON, for `darts-tui predict`.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from darts_engine.data.decoding import open_image
from darts_engine.data.streaming import middle
from darts_engine.programs.answer import answer
from darts_engine.run.answers import Prediction
from darts_engine.run.errors import ConfigError, DataError
from darts_engine.run.folder import RunFolder
from darts_engine.training import trained
from darts_engine.training.inputs import Inputs
from darts_engine.training.trained import Trained

BATCH = 64


def predict(network: Trained, files: list[Path], top: int) -> list[Prediction]:
    """Label images. One that cannot be read gets an error and does not affect the others.

    Args:
        network: with the kind of images that it was trained on.
        files: images of any size and mode that Pillow reads.
        top: most labels per image.
    """
    out: list[Prediction] = []
    left = iter(files)
    while chunk := list(islice(left, BATCH)):
        read = [_read(file, network.inputs) for file in chunk]
        good = [image for image in read if isinstance(image, Tensor)]
        labels = iter(_labels(network, torch.stack(good), top) if good else [])
        out += [
            Prediction(labels=next(labels)) if isinstance(image, Tensor) else image
            for image in read
        ]
    return out


def _labels(network: Trained, images: Tensor, top: int) -> list[list[tuple[str, float]]]:
    logits = network.logits(network.inputs.on(network.device).plain(images.to(network.device)))
    classes = network.inputs.classes
    best = logits.softmax(1).topk(min(top, len(classes)))
    return [
        [(classes[place], round(share, 6)) for share, place in zip(*row, strict=True)]
        for row in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _read(file: Path, inputs: Inputs) -> Tensor | Prediction:
    """(H, W, C) uint8 in the network's size and colours, or the reason why not."""
    try:
        if not file.is_file():
            return Prediction(error="there is no such file")
        image = open_image(file, inputs.white)
    except OSError as error:
        return Prediction(error=f"the image cannot be read: {error.strerror}")
    except DataError as error:
        return Prediction(error=error.what[:300])
    return pixels(image, inputs)


def pixels(image: Image.Image, inputs: Inputs) -> Tensor:
    """(H, W, C) uint8, grey or RGB, of the size of the images that the network was trained on.

    Raises:
        ConfigError: those images have neither one nor three channels.
    """
    channels, height, width = inputs.image_shape
    if channels not in (1, 3):
        raise ConfigError(f"the network takes images of {channels} channels, not grey or RGB ones")
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        box = middle(*image.size) if inputs.is_cropped else None
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.array(image, dtype=np.uint8)).view(height, width, channels)


def main(arguments: list[str]) -> int:
    """Predict and write the answer. Returns: the exit status."""
    parser = argparse.ArgumentParser(prog="darts-tui predict")
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--checkpoint", choices=trained.CHECKPOINTS, default="best")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("images", type=Path, nargs="+")
    options = parser.parse_args(arguments)

    def work() -> list[Prediction]:
        network = trained.of_run(
            RunFolder(options.run), options.checkpoint, trained.config_of(options.config)
        )
        return predict(network, options.images, options.top)

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
