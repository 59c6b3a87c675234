"""A trained recurrent network for use, from a run's checkpoint or from a file of weights.

Reading takes no lock and changes nothing, so the run may be running. Shapes: L rows of text, B
columns, V tokens, n width.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.data.text.vocabulary import Vocabulary
from darts_engine.networks import build as networks
from darts_engine.networks import official_state
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.run.errors import CheckpointError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import TrainConfig
from darts_engine.training import trained
from darts_engine.training.text_inputs import TextInputs


@dataclass(frozen=True)
class TrainedText:
    """A network in evaluation mode on a device, and where it comes from.

    Attributes:
        config: of the training.
        network: with the averages in place of its weights, if the training had begun to average.
        tokens: that it reads and predicts.
        source: the checkpoint or file that its weights are from.
        epoch: the last epoch before it was saved; None for weights from a file.
        device: of the network.
    """

    config: TrainConfig
    network: RecurrentNetwork
    tokens: Vocabulary
    source: str
    epoch: int | None
    device: torch.device

    @torch.no_grad()
    def read(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """From ids (L, B) and a hidden state (B, n) to log-probabilities (L, B, V) and the next."""
        with devices.autocast(self.device, self.config.engine):
            log_probabilities, after = self.network(tokens, hidden)
        return log_probabilities, after


def of_run(folder: RunFolder, which: str, config: TrainConfig) -> TrainedText:
    """The network in a training's best or last checkpoint.

    Args:
        folder: the run, which may be running.
        which: a name in `trained.CHECKPOINTS`; the last is taken where none is marked best.
        config: of the run; its section engine names the device.

    Raises:
        NotFoundError: there is no checkpoint yet; try again after the first epoch.
        CheckpointError: it is damaged, or not of this network; check the run's config.toml.
    """
    device = devices.choose(config.engine)
    manifest, state = trained.read(folder, which)
    try:
        tokens = TextInputs.of_state(state["inputs"]).tokens
        network = networks.build_recurrent(config, len(tokens))
        network.load_state_dict(state["average"] if state.get("average") else state["network"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint holds no such network: {(str(error).splitlines() or [''])[0]}"[:300],
            where=str(folder.checkpoints / manifest.file),
            remedy="is this a training, and its config.toml its own?",
        ) from None
    source, epoch = trained.source_of(folder, manifest), manifest.position.epoch
    return TrainedText(config, network.to(device).eval(), tokens, source, epoch, device)


def of_weights(path: Path, config: TrainConfig, tokens: Vocabulary) -> TrainedText:
    """The network of a config with the weights in a file, in the official code's layout.

    Args:
        path: a file of tensors.
        config: describes the network and names the device.
        tokens: of the text that it was trained on, in the official order.

    Raises:
        RunError: the network cannot be built, or the weights are of another one.
    """
    device = devices.choose(config.engine)
    network = networks.build_recurrent(config, len(tokens))
    official_state.load_file(network, path)
    return TrainedText(config, network.to(device).eval(), tokens, str(path), None, device)
