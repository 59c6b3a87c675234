"""The figures of an epoch and of a run: training, validation, and the best epoch so far."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from darts_engine.data.augment import Normalisation
from darts_engine.data.batches import plain_batches
from darts_engine.data.dataset import AnyPart
from darts_engine.optim.loss import cross_entropy
from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import Meter
from darts_engine.runner.position import Position

EVALUATION_BATCH = 256

# Mean loss (nats), top-1 and top-5 accuracy (percent).
Figures = tuple[float | None, float | None, float | None]


@torch.no_grad()
def evaluate(
    part: AnyPart,
    augment: Normalisation,
    predict: Callable[[Tensor], Tensor],
    also: Callable[[Tensor, Tensor], None] | None = None,
) -> Figures:
    """Loss and accuracies over all images of a part, without augmentation.

    Args:
        part: the images.
        augment: normalises them.
        predict: from images (B, C, H, W) to logits (B, classes), in evaluation mode.
        also: takes each batch's logits (B, classes) and labels (B,), for a further figure.
    """
    meter = Meter(augment.device)
    for images, labels in plain_batches(part, augment, EVALUATION_BATCH):
        logits = predict(images)
        meter.add(cross_entropy(logits, labels), logits, labels)
        if also:
            also(logits, labels)
    return meter.read()


def about(found: str, thin: str, position: Position) -> list[events.Event]:
    """Events about a data set: what was found, and an alert about classes that no figure tells of.

    Args:
        found: as of `Dataset.found`.
        thin: as of `Dataset.thin_classes`; empty for no alert.
        position: where the run begins or goes on.
    """
    told: list[events.Event] = [events.LogWritten(level="info", message=found)]
    if thin:
        told.append(position.stamp(events.AlertRaised, code="unseen_class", message=thin))
    return told


class Scores:
    """Adds up an epoch's training figures, and remembers the epoch with the best top-1 accuracy.

    Args:
        device: where figures are added up.

    Attributes:
        train: the figures of the epoch's weight steps.
        is_best: whether the last epoch is the best so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.train = Meter(device)
        self.is_best = False
        self._best_top1, self._best_epoch = 0.0, 0
        self._last_top1: list[float | None] = [None, None]
        self._last_divergence: float | None = None
        self._best_divergence: float | None = None

    def finish_epoch(
        self,
        position: Position,
        timing: Timing,
        valid: Figures,
        auxiliary_loss: float | None = None,
        divergence: float | None = None,
    ) -> events.EpochFinished:
        """The epoch's event. The training figures start again from zero.

        Args:
            position: the epoch's end.
            timing: how long the epoch took.
            valid: the figures of the validation.
            auxiliary_loss: mean loss of the auxiliary head, where there is one.
            divergence: of the validation from its smoothed targets, where labels are smoothed.
        """
        train_loss, train_top1, train_top5 = self.train.read()
        self.train.reset()
        valid_loss, valid_top1, valid_top5 = valid
        self._last_top1, self._last_divergence = [train_top1, valid_top1], divergence
        self.is_best = (valid_top1 or 0.0) > self._best_top1
        if self.is_best:
            self._best_top1, self._best_epoch = valid_top1 or 0.0, position.epoch
            self._best_divergence = divergence
        return position.stamp(
            events.EpochFinished,
            train_loss=train_loss,
            train_top1=train_top1,
            train_top5=train_top5,
            valid_loss=valid_loss,
            valid_top1=valid_top1,
            valid_top5=valid_top5,
            auxiliary_loss=auxiliary_loss,
            seconds=round(timing.seconds, 3),
            images_per_s=round(timing.per_s, 1),
            is_best=self.is_best,
            valid_divergence=divergence,
        )

    def finish(self, seconds: float, genotype: Genotype | None) -> events.RunFinished:
        """The run's last event, `seconds` after its start; a search has a genotype."""
        train_top1, valid_top1 = self._last_top1
        return events.RunFinished(
            seconds=seconds,
            genotype=genotype,
            text=genotype.text() if genotype else "",
            train_top1=train_top1,
            valid_top1=valid_top1,
            best_top1=self._best_top1 or None,
            best_epoch=self._best_epoch or None,
            valid_divergence=self._last_divergence,
            best_divergence=self._best_divergence,
        )

    def state(self) -> dict[str, Any]:
        """The epoch's sums so far, the best epoch, and the last epoch's figures."""
        return {
            "epoch_meter": self.train.state(),
            "best": [self._best_top1, self._best_epoch],
            "last_top1": self._last_top1,
            "divergence": [self._last_divergence, self._best_divergence],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.train.load_state(state["epoch_meter"])
        self._best_top1, self._best_epoch = state["best"]
        self._last_top1 = state["last_top1"]
        # Checkpoints of older versions have none.
        divergence = state.get("divergence", [None, None])
        self._last_divergence, self._best_divergence = divergence
