"""The figures of an epoch and of a run on text: losses and perplexities, and the best epoch so far.

Perplexity is exp of the mean loss in nats, over the tokens that are predicted. Shapes: T rows of
text, B columns, L rows of a window, n width.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from darts_engine.data.text.columns import window
from darts_engine.optim.text_loss import negative_log_likelihood
from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import Mean
from darts_engine.runner.position import Position

# From tokens (L, B) and a hidden state (B, n) to log-probabilities (L, B, V) and the next state.
Read = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def perplexity(loss: float | None) -> float | None:
    """Exp of a mean loss in nats; None where there is none, or where it is too large a number."""
    try:
        return None if loss is None else round(math.exp(loss), 4)
    except OverflowError:
        return None


@torch.no_grad()
def mean_loss(columns: Tensor, length: int, read: Read, hidden: Tensor) -> float | None:
    """Mean loss over the tokens that columns of text predict, in nats; None if it is not finite.

    The hidden state goes on from window to window. The first row is nothing's target, so T - 1 rows
    are predicted.

    DEVIATION: the official code divides by T, which tells (T - 1) / T of the loss.

    Args:
        columns: (T, B) ids.
        length: rows of a window; it changes nothing but the memory that is needed.
        read: of the network, in evaluation mode.
        hidden: before the first row, (B, n).
    """
    mean = Mean(columns.device)
    for start in range(0, len(columns) - 1, length):
        inputs, targets = window(columns, start, length)
        log_probabilities, hidden = read(inputs, hidden)
        mean.add(negative_log_likelihood(log_probabilities, targets), targets.numel())
    return mean.read()


class TextScores:
    """Adds up an epoch's training loss, and remembers the epoch with the lowest validation loss.

    Args:
        device: where figures are added up.

    Attributes:
        train: mean loss of the epoch's weight steps, per token.
        is_best: whether the last epoch is the best so far.
        best_epoch: from 1; 0 before there is one.
    """

    def __init__(self, device: torch.device) -> None:
        self.train = Mean(device)
        self.is_best, self.best_epoch = False, 0
        self._best_loss: float | None = None
        self._last_loss: float | None = None

    def finish_epoch(
        self, position: Position, timing: Timing, valid_loss: float | None
    ) -> events.EpochFinished:
        """The epoch's event. The training figures start again from zero.

        Args:
            position: the epoch's end.
            timing: how long the epoch took; counting tokens.
            valid_loss: per predicted token, nats.
        """
        train_loss = self.train.read()
        self.train.reset()
        self._last_loss, best = valid_loss, self._best_loss
        self.is_best = valid_loss is not None and (best is None or valid_loss < best)
        if self.is_best:
            self._best_loss, self.best_epoch = valid_loss, position.epoch
        return position.stamp(
            events.EpochFinished,
            train_loss=train_loss,
            train_top1=None,
            valid_loss=valid_loss,
            valid_top1=None,
            seconds=round(timing.seconds, 3),
            is_best=self.is_best,
            train_perplexity=perplexity(train_loss),
            valid_perplexity=perplexity(valid_loss),
            tokens_per_s=round(timing.per_s, 1),
        )

    def finish(self, seconds: float, genotype: Genotype | None) -> events.RunFinished:
        """The run's last event, `seconds` after its start."""
        return events.RunFinished(
            seconds=seconds,
            genotype=genotype,
            text=genotype.text() if genotype else "",
            best_epoch=self.best_epoch or None,
            valid_perplexity=perplexity(self._last_loss),
            best_perplexity=perplexity(self._best_loss),
        )

    def state(self) -> dict[str, Any]:
        """The epoch's sums so far, the best epoch, and the last epoch's loss."""
        return {
            "epoch_meter": self.train.state(),
            "best": [self._best_loss, self.best_epoch],
            "last_loss": self._last_loss,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.train.load_state(state["epoch_meter"])
        self._best_loss, self.best_epoch = state["best"]
        self._last_loss = state["last_loss"]
