"""What a made-up run on text tells: a search of a recurrent cell, or the training of one.

Its epochs differ in their number of steps, as on text, where lengths are drawn. A training begins
to average its weights in the epoch `AVERAGING_FROM`.
"""

import functools
import math
from pathlib import Path

import fake_run
import msgspec
from fake_story import EPOCH_S, _entropy, _Story, config_of

from darts_engine.run import events, folder
from darts_engine.run.architecture import derivation, derivation_one_cell
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS, derive_chain
from darts_engine.run.architecture.layout import CellLayout
from darts_engine.run.architecture.text import published
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config

NODES, VOCABULARY, MEAN_STEPS = 8, 6_022, 30
AVERAGING_FROM = 15
CELL = "recurrent"
LAYOUT = CellLayout(
    name=CELL,
    edges=derivation_one_cell.edges_of(NODES),
    operations=list(RECURRENT_OPERATIONS),
)


def text_events(
    *,
    kind: str = "search",
    epochs_done: int = 23,
    epochs: int = 50,
    phase: str = "running",
    seed: int = 0,
) -> list[AnyEvent]:
    """The events of a run with `epochs_done` whole epochs and, unless it is over, half of one more.

    Args:
        kind: search or train.
        epochs_done: whole epochs; a finished run has done all of them.
        epochs: epochs planned.
        phase: how the story ends: running, paused, finished, failed or stopped.
        seed: names the random drift of alphas and losses.
    """
    return list(_text_events(kind, epochs_done, epochs, phase, seed))


@functools.cache
def _text_events(
    kind: str, epochs_done: int, epochs: int, phase: str, seed: int
) -> tuple[AnyEvent, ...]:
    story = _TextStory(kind, epochs, seed)
    whole = epochs if phase == "finished" else min(epochs_done, epochs)
    story.append(story.started(seed), 0.0)
    for epoch in range(1, whole + 1):
        story.run_epoch(epoch, steps_of(epoch))
    if phase != "finished" and whole < epochs:
        story.run_epoch(whole + 1, steps_of(whole + 1) // 2)
    story.end(phase)
    return tuple(story.reported)


def steps_of(epoch: int) -> int:
    """The steps of an epoch: some of its lengths are shorter."""
    return MEAN_STEPS + (7 * epoch) % 5 - 2


def make_text_run(runs: Path, name: str, *, kind: str = "search", **story: object) -> RunFolder:
    """A run folder with the log of `text_events`; no engine holds it."""
    run = folder.create(runs, name, config_of(kind, 50, 0))
    fake_run.write(run, text_events(kind=kind, **story))  # type: ignore[arg-type]
    return run


class _TextStory(_Story):
    def __init__(self, kind: str, epochs: int, seed: int) -> None:
        super().__init__(kind, epochs, MEAN_STEPS, seed, 1_790_000_000.0, "darts")
        self.layouts = [LAYOUT]
        self.goals = {CELL: [self._goals(len(LAYOUT.operations)) for _ in LAYOUT.edges]}
        if kind == "train":
            self.genotype = published()["RNN_DARTS_V2"].genotype
        self.best = math.inf
        self.schedules = self._planned()

    def _planned(self) -> list[events.ScheduleSpan]:
        search = self.kind == "search"
        spans = [("lr_weights", "lr", 20.0), ("length", "length", 35.0)]
        spans += [("lr_alpha", "lr alpha", 3e-3)] if search else [("averaging", "averaging", 0.0)]
        return [
            events.ScheduleSpan(name=name, label=label, values=[value] * self.epochs)
            for name, label, value in spans
        ]

    def started(self, seed: int) -> events.RunStarted:
        plain = config.to_plain(self.config)
        plain["data"]["dataset"] = "verses"
        tokens = {"weights": 215_040, "alpha": 23_808, "test": 23_571}
        if self.kind == "train":
            tokens = {"train": 215_040, "valid": 23_808, "test": 23_571}
        else:
            plain["space"]["space"] = CELL
        return msgspec.structs.replace(
            super().started(seed),
            config=plain,
            parameters=476_950 if self.kind == "search" else 1_208_422,
            alpha_parameters=180 if self.kind == "search" else 0,
            space=CELL if self.kind == "search" else "",
            dataset="verses",
            classes=[],
            images=tokens,
            image_shape=[],
            unit="tokens",
            vocabulary=VOCABULARY,
        )

    def run_epoch(self, epoch: int, until: int) -> None:
        values = {span.name: span.values[epoch - 1] for span in self.schedules}
        if self.kind == "train":
            values["averaging"] = float(epoch >= AVERAGING_FROM)
        self.steps = steps_of(epoch)
        self.append(events.EpochStarted(epoch=epoch, steps=self.steps, schedules=values), 0.01)
        for step in range(1, until + 1):
            self._step(epoch, step)
        if until == self.steps:
            self._measure()
            self._finish_epoch(epoch)

    def _step(self, epoch: int, step: int) -> None:
        before = self.at["global_step"]
        self.at = {"epoch": epoch, "step": step, "global_step": before + 1}
        loss = self._loss()
        alpha_loss = round(loss + 0.2, 4) if self.kind == "search" else None
        self.append(
            events.StepFinished(**self.at, train_loss=loss, alpha_loss=alpha_loss),
            EPOCH_S / self.steps,
        )
        if self.kind == "search" and step in (self.steps // 2, self.steps):
            self._sample_alpha()

    def _sample_alpha(self) -> None:
        age = self._age()
        early, late = 0.6 * age * math.exp(-age / 5), 1 - math.exp(-age / 20)
        alphas = [[round(a * early + b * late, 5) for a, b in row] for row in self.goals[CELL]]
        weights = [[round(w, 6) for w in row] for row in derivation.softmax(alphas)]
        self.weights = {CELL: weights}
        sampled = events.AlphaSampled(**self.at, alphas={CELL: alphas}, weights={CELL: weights})
        self.append(sampled, 0.0)
        genotype = derive_chain(weights)
        changed = derivation.changes(self.genotype, genotype)
        if changed or self.genotype is None:
            self.genotype = genotype
            text = genotype.text()
            self.append(
                events.GenotypeDerived(**self.at, genotype=genotype, text=text, changed=changed),
                0.0,
            )

    def _measure(self) -> None:
        epoch, search = self.at["epoch"], self.kind == "search"
        self.append(
            events.HealthMeasured(
                epoch=epoch,
                global_step=self.at["global_step"],
                entropy={CELL: _entropy(self.weights[CELL])} if search else {},
                skip_count={CELL: 0} if search else {},
                kept_edges={CELL: NODES} if search else {},
                alpha_grad_norm=round(0.02 / epoch**0.5, 5) if search else None,
                weight_grad_norm=round(0.25 + 0.4 / epoch, 4),
                hidden_norm=round(4.2 - 2.0 * math.exp(-epoch / 6), 4),
            ),
            0.0,
        )
        self.append(
            events.SystemMeasured(
                global_step=self.at["global_step"],
                tokens_per_s=11_840.0,
                step_ms=91.0,
                alpha_ms=42.0 if search else None,
                weight_ms=48.0,
                data_ms=0.4,
                cpu_percent=98.5,
                cpu_count=2,
                rss_bytes=412_000_000,
                memory_total_bytes=8_200_000_000,
                disk_free_bytes=52_000_000_000,
            ),
            0.0,
        )

    def _finish_epoch(self, epoch: int) -> None:
        train, valid = self._loss(), round(self._loss() + 0.25, 4)
        is_best, self.best = valid < self.best, min(valid, self.best)
        self.append(
            events.EpochFinished(
                epoch=epoch,
                global_step=self.at["global_step"],
                train_loss=train,
                train_top1=None,
                valid_loss=valid,
                valid_top1=None,
                seconds=EPOCH_S,
                is_best=is_best,
                train_perplexity=round(math.exp(train), 3),
                valid_perplexity=round(math.exp(valid), 3),
                tokens_per_s=11_840.0,
            ),
            0.2,
        )
        path = f"checkpoints/step-{self.at['global_step']:09d}-seq-{len(self.reported)}.pt"
        reason = "best" if is_best and self.kind == "train" else "epoch"
        self.append(
            events.CheckpointSaved(
                **self.at, path=path, reason=reason, size_bytes=5_240_000, seconds=0.03
            ),
            0.03,
        )

    def end(self, phase: str) -> None:
        if phase != "finished":
            super().end(phase)
            return
        ended = [event for event in self.reported if isinstance(event, events.EpochFinished)]
        best = min(ended, key=lambda event: event.valid_perplexity or math.inf)
        self.append(
            events.RunFinished(
                seconds=round(self.now - self.reported[0].t, 3),
                genotype=self.genotype,
                text=self.genotype.text() if self.genotype else "",
                best_epoch=best.epoch,
                valid_perplexity=ended[-1].valid_perplexity,
                best_perplexity=best.valid_perplexity,
            ),
            0.1,
        )

    def _age(self) -> float:
        return self.at["global_step"] / MEAN_STEPS

    def _loss(self) -> float:
        """A drop, and in a training another one where averaging begins."""
        drop = 0.0 if self.kind == "search" else 0.12 * (self._age() >= AVERAGING_FROM - 1)
        fallen = 4.55 + 2.3 * math.exp(-self._age() / 4) - drop
        return round(fallen + self.stochastic.uniform(0, 0.05), 4)
