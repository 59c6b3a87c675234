"""A trained network for use: out of a run's checkpoint, or weights from elsewhere.

Reading takes no lock and changes nothing, so that a run may be looked at while it goes on.
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
# A running engine deletes older checkpoints while we look.
ATTEMPTS = 5


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode on a device, and what is known of it.

    Attributes:
        config: of the training; its network and data sections say what this is.
        network: gives (logits, None).
        inputs: what it takes and gives.
        source: the checkpoint or file that its weights are of.
        epoch: after which it was saved; None for weights from elsewhere.
    """

    config: TrainConfig
    network: TrainedNetwork
    inputs: Inputs
    source: str
    epoch: int | None
    device: torch.device

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float32, normalised, on the network's device, to logits (B, classes)."""
        with devices.autocast(self.device, self.config.engine):
            logits: Tensor = self.network(images)[0]
        return logits.float()


def of_run(folder: RunFolder, which: str, config: TrainConfig) -> Trained:
    """The network of a training at its best or last checkpoint.

    Args:
        folder: the run, which may be running.
        which: a name in `CHECKPOINTS`; where no checkpoint is marked best, the last is taken.
        config: the run's; its engine section says where to compute.

    Raises:
        NotFoundError: there is no checkpoint yet.
        CheckpointError: it cannot be trusted, or is not of this kind of network.
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
        ConfigError: it cannot be read, or is of a search.
    """
    config = configs.read(path)
    if not isinstance(config, TrainConfig):
        raise ConfigError(
            "this run is a search: it has a supernet, but no trained network",
            remedy="train what it found: darts-tui train --genotype run:NAME",
        )
    return config


def source_of(folder: RunFolder, manifest: Manifest) -> str:
    """What a checkpoint is called: its path in the run folder."""
    return f"{folder.checkpoints.name}/{manifest.file}"


def of_weights(path: Path, config: TrainConfig, dataset: Dataset) -> Trained:
    """The network of a config with weights from elsewhere, in the official code's layout.

    Args:
        path: a file of tensors.
        config: names network and device.
        dataset: tells shape, normalisation and classes of the images.

    Raises:
        RunError: the network cannot be built, or the weights are not its own.
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
    """A run's best or last checkpoint, as `of_run` says."""
    for attempt in range(1, ATTEMPTS + 1):
        manifests = checkpoint.newest_first(folder)
        if not manifests:
            break
        try:
            manifest = _choose(manifests, which)
            return manifest, checkpoint.load(folder, manifest)
        except CheckpointError:
            if attempt == ATTEMPTS or all(path.exists() for path in manifests):
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
