"""A trained recurrent network as a program for other programs, for `export_network.py`.

The program reads one token of each of B texts. Whoever runs it gives it the next tokens and the
hidden state that it returned, so that texts may have any length. Shapes: V tokens, n width.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.run.settings.config import to_plain
from darts_engine.training.text_trained import TrainedText

OUTPUTS = ("log_probabilities", "next_hidden")


class OneToken(nn.Module):
    """A recurrent network that reads a token at a time.

    Args:
        network: is copied.
    """

    def __init__(self, network: RecurrentNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().eval().requires_grad_(False)

    def forward(self, token: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """From ids (B,) int64 and a hidden state (B, n) to log-probabilities (B, V) and the next.

        The first hidden state is zeros.
        """
        log_probabilities, after = self.network(token[None], hidden)
        return log_probabilities[0], after


def examples(network: TrainedText) -> dict[str, Tensor]:
    """Inputs of the program by name, of two texts."""
    # torch.export treats a batch size of one as a constant.
    return {"token": torch.tensor([0, 1]), "hidden": network.network.first_hidden(2).cpu()}


def describe(network: TrainedText, batch: str) -> dict[str, Any]:
    """The metadata of an exported file."""
    width, size = network.config.text.width, len(network.tokens)
    return {
        "made_by": "darts-tui",
        "weights": network.source,
        "epoch": network.epoch,
        "input": {
            "token": {"shape": [batch], "type": "int64", "of": "place in tokens"},
            "hidden": {
                "shape": [batch, width],
                "type": "float32",
                "of": "next_hidden of the token before; zeros before the first",
            },
        },
        "output": {
            "log_probabilities": {"shape": [batch, size], "of": "the token that comes next"},
            "next_hidden": {"shape": [batch, width]},
        },
        "tokens": network.tokens.words,
        "tokens_are": network.tokens.kind,
        "config": to_plain(network.config),
    }
