"""A trained network for use, from a run's checkpoint or from a file of weights.

Reading takes no lock and changes nothing, so the run may be running.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.data.augment import normalisation
from darts_engine.data.dataset import Dataset
from darts_engine.networks import build as networks
from darts_engine.networks import official_state
from darts_engine.networks.build import TrainedNetwork
from darts_engine.run.errors import CheckpointError, ConfigError, NotFoundError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import TrainConfig
from darts_engine.runner import checkpoint
from darts_engine.runner.checkpoint import Manifest
from darts_engine.training.inputs import Inputs

CHECKPOINTS = ("best", "last")
# A running engine may delete a checkpoint between listing and reading.
ATTEMPTS = 5


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode on a device, and where it comes from.

    Attributes:
        config: of the training; its section network describes the network.
        network: returns (logits, None).
        inputs: the images it takes and the classes it predicts.
        source: the checkpoint or file that its weights are from.
        epoch: the last epoch before it was saved; None for weights from a file.
        device: of the network.
    """

    config: TrainConfig
    network: TrainedNetwork
    inputs: Inputs
    source: str
    epoch: int | None
    device: torch.device

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, classes) in float32.

        Args:
            images: (B, C, H, W) float32, normalised, on the network's device.
        """
        with devices.autocast(self.device, self.config.engine):
            logits: Tensor = self.network(images)[0]
        return logits.float()


def of_run(folder: RunFolder, which: str, config: TrainConfig) -> Trained:
    """The network in a training's best or last checkpoint.

    Args:
        folder: the run, which may be running.
        which: a name in `CHECKPOINTS`; the last is taken where none is marked best.
        config: of the run; its section engine names the device.

    Raises:
        NotFoundError: there is no checkpoint yet; try again after the first epoch.
        CheckpointError: it is damaged, or not of this network; check the run's config.toml.
    """
    device = devices.choose(config.engine)
    manifest, state = read(folder, which)
    where = str(folder.checkpoints / manifest.file)
    try:
        inputs = Inputs.of_state(state["inputs"])
        network = _empty(config, inputs)
        network.load_state_dict(state["average"] if state.get("average") else state["network"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint holds no such network: {(str(error).splitlines() or [''])[0]}"[:300],
            where=where,
            remedy="is this a training, and its config.toml its own?",
        ) from None
    devices.place(network, device, channels_last=config.engine.channels_last)
    source, epoch = source_of(folder, manifest), manifest.position.epoch
    return Trained(config, network.eval(), inputs, source, epoch, device)


def config_of(path: Path) -> TrainConfig:
    """The config of a training.

    Raises:
        ConfigError: it cannot be read, or is of a search; train the genotype first.
    """
    config = configs.read(path)
    if not isinstance(config, TrainConfig):
        raise ConfigError(
            "this run is a search: it has a supernet, but no trained network",
            remedy="train what it found: darts-tui train --genotype run:NAME",
        )
    return config


def source_of(folder: RunFolder, manifest: Manifest) -> str:
    """The path of a checkpoint, relative to the run folder."""
    return f"{folder.checkpoints.name}/{manifest.file}"


def of_weights(path: Path, config: TrainConfig, dataset: Dataset) -> Trained:
    """The network of a config with the weights in a file, in the official code's layout.

    Args:
        path: a file of tensors.
        config: describes the network and names the device.
        dataset: has the shape, the normalisation and the classes of the images.

    Raises:
        RunError: the network cannot be built, or the weights are of another one.
    """
    device = devices.choose(config.engine)
    inputs = Inputs.of(dataset, normalisation(dataset, torch.device("cpu")))
    # The auxiliary head is for training only, and files come with and without it.
    section = msgspec.structs.replace(config.network, auxiliary=False)
    network = _empty(msgspec.structs.replace(config, network=section), inputs)
    official_state.load_file(network, path)
    devices.place(network, device, channels_last=config.engine.channels_last)
    return Trained(config, network.eval(), inputs, str(path), None, device)


def _empty(config: TrainConfig, inputs: Inputs) -> TrainedNetwork:
    return networks.build(
        config.network,
        in_channels=inputs.image_shape[0],
        classes=len(inputs.classes),
        seed=config.engine.seed,
    )


def read(folder: RunFolder, which: str) -> tuple[Manifest, dict[str, Any]]:
    """The manifest and the state of a run's best or last checkpoint.

    Args:
        folder: the run, which may be running.
        which: a name in `CHECKPOINTS`; the last is taken where none is marked best.

    Raises:
        NotFoundError: there is no checkpoint yet; try again after the first epoch.
        CheckpointError: it is damaged, or all are of other runs.
    """
    for attempt in range(1, ATTEMPTS + 1):
        manifests = checkpoint.of_this_run(folder)
        if not manifests:
            break
        try:
            manifest = _choose(manifests, which)
            return manifest, checkpoint.load(folder, manifest)
        except CheckpointError:
            if attempt == ATTEMPTS or set(manifests) <= set(checkpoint.newest_first(folder)):
                raise
    raise NotFoundError(
        "the run has no checkpoint yet",
        where=str(folder.checkpoints),
        remedy=f"try again after its first epoch, or 'darts-tui checkpoint {folder.name}'",
    )


def _choose(newest_first: list[Path], which: str) -> Manifest:
    if which == "best":
        for path in newest_first:
            if (manifest := checkpoint.read_manifest(path)).reason == "best":
                return manifest
    return checkpoint.read_manifest(newest_first[0])
