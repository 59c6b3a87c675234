"""The figures of an epoch and of a run on text: losses, perplexities, and the best epoch so far."""

import math
from typing import Any

import torch

from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import TokenMeter, perplexity
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures, Scores


class PerplexityScores(Scores):
    """Adds up an epoch's training loss, and remembers the epoch with the lowest validation loss.

    Losses are means over predicted tokens, so a perplexity is the exponential of one. One that is
    not finite is None, and never the best.

    Args:
        device: where losses are added up.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.train = TokenMeter(device)
        self._best_loss: float | None = None
        self._last_loss: float | None = None

    def finish_epoch(
        self,
        position: Position,
        timing: Timing,
        valid: Figures,
        auxiliary_loss: float | None = None,  # noqa: ARG002  a text has none
        divergence: float | None = None,  # noqa: ARG002
    ) -> events.EpochFinished:
        """The epoch's event. The training loss starts again from zero.

        Args:
            position: the epoch's end.
            timing: how long the epoch took.
            valid: the loss of the validation, and None twice.
            auxiliary_loss: unused.
            divergence: unused.
        """
        train_loss, _, _ = self.train.read()
        self.train.reset()
        valid_loss, _, _ = valid
        best = math.inf if self._best_loss is None else self._best_loss
        self.is_best = valid_loss is not None and valid_loss < best
        if self.is_best:
            self._best_loss, self._best_epoch = valid_loss, position.epoch
        self._last_loss = valid_loss
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
        """The run's last event, `seconds` after its start; a search has a genotype."""
        return events.RunFinished(
            seconds=seconds,
            genotype=genotype,
            text=genotype.text() if genotype else "",
            best_epoch=self._best_epoch or None,
            valid_perplexity=perplexity(self._last_loss),
            best_perplexity=perplexity(self._best_loss),
        )

    def state(self) -> dict[str, Any]:
        """The epoch's sum so far, the best epoch, and the lowest and the last loss."""
        return {
            "epoch_meter": self.train.state(),
            "best": [self._best_loss, self._best_epoch],
            "last_loss": self._last_loss,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.train.load_state(state["epoch_meter"])
        self._best_loss, self._best_epoch = state["best"]
        self._last_loss = state["last_loss"]
