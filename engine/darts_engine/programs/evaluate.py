"""Evaluates a network on the test images, or on a part of a text.

`python -m darts_engine.programs.evaluate CONFIG.toml` writes an `Evaluation` or, of a network that
reads text, a `TextEvaluation` as JSON, for `darts-tui evaluate`.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.data import dataset as datasets
from darts_engine.data.augment import normalisation
from darts_engine.data.batches import plain_batches
from darts_engine.data.dataset import Dataset
from darts_engine.data.text.source import PARTS
from darts_engine.optim.loss import cross_entropy, smoothed_divergence
from darts_engine.programs import evaluate_text
from darts_engine.programs.answer import answer
from darts_engine.run.answers import Evaluation, TextEvaluation
from darts_engine.run.errors import DataError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import Config, SearchConfig, TrainConfig
from darts_engine.run.settings.search_on_text import reads_text
from darts_engine.runner.checkpoint import refuse_foreign
from darts_engine.runner.meter import Mean, Meter
from darts_engine.runner.scores import EVALUATION_BATCH
from darts_engine.search.task import Search
from darts_engine.training import trained
from darts_engine.training.inputs import Inputs
from darts_engine.training.trained import Trained


@dataclass(frozen=True)
class Subject:
    """The network that is evaluated, and where its weights come from.

    Attributes:
        logits: from normalised images (B, C, H, W) to (B, classes).
        inputs: the images that the network was trained on.
        source: the checkpoint or file of the weights.
        epoch: of the checkpoint; None for a file.
        device: that the network is on.
    """

    logits: Callable[[Tensor], Tensor]
    inputs: Inputs
    source: str
    epoch: int | None
    device: torch.device


def training(
    config: TrainConfig, folder: RunFolder | None, weights: Path | None, which: str
) -> Evaluation:
    """Evaluate a derived network on the test part of the config's data set.

    Args:
        config: of the network, data set and device.
        folder: the run whose checkpoint is used if `weights` is None.
        weights: a file in the official layout.
        which: a name in `trained.CHECKPOINTS`.

    Raises:
        RunError: there is no checkpoint or no data set, or it does not fit the network.
    """
    if weights is not None:
        dataset = load(config)
        network = trained.of_weights(weights, config, dataset)
    else:
        assert folder is not None
        network = trained.of_run(folder, which, config)
        dataset = load(_sized_for(network, config, folder))
    subject = Subject(network.logits, network.inputs, network.source, network.epoch, network.device)
    return evaluate(subject, dataset, config)


def supernet(config: SearchConfig, folder: RunFolder) -> Evaluation:
    """Evaluate a search's supernet on the test images, mixed by alpha of the last checkpoint.

    Raises:
        RunError: there is no checkpoint or no data set.
    """
    manifest, state = trained.read(folder, "last")
    device = devices.choose(config.engine)
    dataset = load(config)
    search = Search(config, dataset, device)
    refuse_foreign(folder, manifest, search.identity())
    search.load_state(state)
    search.supernet.eval()
    inputs = Inputs.of(dataset, normalisation(dataset, device))
    source, epoch = trained.source_of(folder, manifest), manifest.position.epoch
    return evaluate(Subject(search.predict, inputs, source, epoch, device), dataset, config)


def load(config: Config) -> Dataset:
    """The data set of a config."""
    return datasets.read(config.data)


def _sized_for(network: Trained, config: TrainConfig, folder: RunFolder) -> TrainConfig:
    """The config; images of another data set are resized to those that the network takes."""
    _, height, width = network.inputs.image_shape
    is_own = config.data.dataset == folder.read_config().data.dataset
    if is_own or config.data.image_size or height != width:
        return config
    data = msgspec.structs.replace(config.data, image_size=height)
    return msgspec.structs.replace(config, data=data)


def _places(dataset: Dataset, inputs: Inputs) -> Tensor:
    """(K,) for each class of the data set, its index among the network's.

    Raises:
        DataError: images or classes do not fit the network. Choose another data set.
    """
    if dataset.image_shape != inputs.image_shape:
        theirs, ours = ("x".join(map(str, s)) for s in (dataset.image_shape, inputs.image_shape))
        raise DataError(
            f"the images are {theirs} (channels, height, width), the network takes {ours}",
            where=dataset.name,
            remedy="choose another --dataset, or resize its images with --image-size",
        )
    places = {name: place for place, name in enumerate(inputs.classes)}
    unknown = [name for name in dataset.classes if name not in places]
    if unknown:
        raise DataError(
            f"the network does not know the class {unknown[0]!r}",
            where=dataset.name,
            remedy=f"it knows {', '.join(inputs.classes[:8])}"[:200],
        )
    return torch.tensor([places[name] for name in dataset.classes])


@torch.no_grad()
def evaluate(subject: Subject, dataset: Dataset, config: Config) -> Evaluation:
    """Loss, accuracies and confusion over all test images, without augmentation.

    Where the data set has no test part, they are of its validation part.

    The images are normalised as those that the network was trained on.

    Raises:
        DataError: images or classes are not those of the network.
    """
    inputs, count = subject.inputs, len(subject.inputs.classes)
    places = _places(dataset, inputs).to(subject.device)
    eps, kind = 0.0, ""
    if isinstance(config, TrainConfig):
        eps, kind = config.train.label_smoothing, config.train.smoothing
    meter, divergence = Meter(subject.device), Mean(subject.device)
    confusion = torch.zeros(count * count, dtype=torch.int64, device=subject.device)
    test = dataset.looked_at.to(subject.device)
    for images, labels in plain_batches(test, inputs.on(subject.device), EVALUATION_BATCH):
        logits, truth = subject.logits(images), places[labels]
        meter.add(cross_entropy(logits, truth), logits, truth)
        if eps:
            divergence.add(smoothed_divergence(logits, truth, eps, kind), len(truth))
        confusion += torch.bincount(truth * count + logits.argmax(1), minlength=count * count)
    loss, top1, top5 = meter.read()
    confusion = confusion.view(count, count).cpu()
    return Evaluation(
        test_loss=loss,
        test_top1=top1,
        test_top5=top5,
        per_class={
            name: round(100 * int(row[place]) / int(row.sum()), 4) if int(row.sum()) else None
            for place, (name, row) in enumerate(zip(inputs.classes, confusion, strict=True))
        },
        images=len(test),
        confusion=confusion.tolist(),
        dataset=config.data.dataset,
        source=subject.source,
        epoch=subject.epoch,
        test_divergence=divergence.read(),
        part="test" if dataset.test is not None else "valid",
    )


def main(arguments: list[str]) -> int:
    """Evaluate and write the answer. Returns: the exit status."""
    parser = argparse.ArgumentParser(prog="darts-tui evaluate")
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--checkpoint", choices=trained.CHECKPOINTS, default="best")
    parser.add_argument("--part", choices=PARTS, default="test")
    parser.add_argument("--official-division", action="store_true")
    options = parser.parse_args(arguments)

    def work() -> Evaluation | TextEvaluation:
        config = configs.read(options.config)
        folder = RunFolder(options.run) if options.run else None
        if reads_text(config):
            how = {"part": options.part, "official": options.official_division}
            if isinstance(config, TrainConfig):
                weights, which = options.weights, options.checkpoint
                return evaluate_text.training(config, folder, weights, which, **how)
            assert folder is not None
            return evaluate_text.supernet(config, folder, **how)
        if isinstance(config, SearchConfig):
            assert folder is not None
            return supernet(config, folder)
        return training(config, folder, options.weights, options.checkpoint)

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
