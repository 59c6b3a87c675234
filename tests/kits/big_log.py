"""Event logs of days: run folders with hundreds of megabytes of made-up events, written quickly."""

import math
from pathlib import Path

import fake_story

from darts_engine.run import events, folder
from darts_engine.run.architecture.layout import Matrix
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder

START = 1_790_000_000.0
STEP_S = 0.25
# The most epochs that a config may have.
MAX_PLANNED = 10_000


def write_big_run(
    runs: Path, name: str, *, epochs: int, steps: int = 4, samples: int = 1
) -> RunFolder:
    """A search in the middle of which its engine died, after `epochs` whole epochs.

    Args:
        runs: the folder of runs.
        name: of the run.
        epochs: finished epochs.
        steps: `step_finished` events in an epoch, of 170 bytes each.
        samples: `alpha_sampled` events in an epoch, of 9 kB each.
    """
    planned = min(epochs, MAX_PLANNED)
    run = folder.create(runs, name, fake_story.config_of("search", planned, 0))
    first = fake_story.made_up_events(epochs_done=2, epochs=planned, steps=steps)[0]
    with run.events.open("wb") as file:
        file.write(events.encode(first))
        writer = _Writer(steps, samples)
        for epoch in range(1, epochs + 1):
            file.write(b"".join(map(events.encode, writer.epoch(epoch))))
    return run


class _Writer:
    def __init__(self, steps: int, samples: int) -> None:
        self._steps, self._every = steps, max(1, steps // max(1, samples))
        self._seq, self._best = 1, 0.0
        self._weights = {
            cell: [[(edge + column) % 8 / 28 for column in range(8)] for edge in range(14)]
            for cell in ("normal", "reduce")
        }
        self._genotype = fake_story.derive("darts", self._weights)

    def _stamp(self) -> dict[str, object]:
        self._seq += 1
        return {"seq": self._seq, "t": START + STEP_S * self._seq}

    def epoch(self, epoch: int) -> list[AnyEvent]:
        """All events of an epoch."""
        made: list[AnyEvent] = []
        last = epoch * self._steps

        def append(kind: type[AnyEvent], **fields: object) -> None:
            made.append(kind(**self._stamp(), **fields))  # type: ignore[arg-type,operator]

        rates = {"lr_weights": 0.025, "lr_alpha": 0.0003}
        append(events.EpochStarted, epoch=epoch, steps=self._steps, schedules=rates)
        for step in range(1, self._steps + 1):
            at = {"epoch": epoch, "step": step, "global_step": last - self._steps + step}
            loss = 0.3 + 2 / at["global_step"] ** 0.3 + math.sin(step) / 50
            append(
                events.StepFinished, **at, train_loss=loss, train_top1=50.0, alpha_loss=1.1 * loss
            )
            if step % self._every == 0:
                weights = self._drifted(epoch + step / self._steps)
                append(events.AlphaSampled, **at, alphas=weights, weights=weights)
        text = self._genotype.text()
        append(events.GenotypeDerived, **at, genotype=self._genotype, text=text)
        ended = {"epoch": epoch, "global_step": last}
        entropy = {"normal": 1.9, "reduce": 2.0}
        skips = {"normal": epoch % 4, "reduce": 1}
        append(events.HealthMeasured, **ended, entropy=entropy, skip_count=skips)
        top1 = 97 - 80 / epoch**0.5 + (epoch * 7919 % 100) / 50
        is_best, self._best = top1 > self._best, max(top1, self._best)
        append(
            events.EpochFinished,
            **ended,
            train_loss=1.0,
            train_top1=60.0,
            valid_loss=1.1,
            valid_top1=top1,
            seconds=self._steps * STEP_S,
            images_per_s=235.0,
            is_best=is_best,
        )
        path = f"checkpoints/step-{last:09d}-seq-{self._seq}.pt"
        said = {"path": path, "reason": "epoch", "size_bytes": 1_240_000, "seconds": 0.03}
        append(events.CheckpointSaved, **at, **said)
        return made

    def _drifted(self, at: float) -> dict[str, Matrix]:
        wave = 1 + 0.2 * math.sin(at)
        return {
            cell: [[value * wave + 0.0123456 for value in row] for row in rows]
            for cell, rows in self._weights.items()
        }
