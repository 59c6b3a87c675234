"""What a made-up but lifelike run tells, for tests that need something to watch.

`events()` tells the whole story as a list of events, numbered and stamped, the same for the same
arguments; `fake_run.py` puts it into a run folder. Nothing here needs torch.
"""

import functools
import math
import random

import msgspec

from darts_engine.run import events
from darts_engine.run.architecture import derivation, derivation_one_cell
from darts_engine.run.architecture.genotype import CELLS, Genotype
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.architecture.spaces import SPECS
from darts_engine.run.architecture.text import published
from darts_engine.run.events import AnyEvent
from darts_engine.run.settings import config
from darts_engine.run.settings.config import Config

OPERATIONS = [
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
]
EDGES = [(source, node) for node in range(2, 6) for source in range(node)]
EPOCH_S = 6.0


def made_up_events(
    *,
    kind: str = "search",
    epochs_done: int = 23,
    epochs: int = 50,
    steps: int = 11,
    phase: str = "running",
    seed: int = 0,
    method: str = "darts",
    space: str = "darts",
    start: float = 1_790_000_000.0,
) -> list[AnyEvent]:
    """The events of a run with `epochs_done` whole epochs and, unless it is over, half of one more.

    Args:
        kind: search or train.
        epochs_done: whole epochs; a finished run has done all of them.
        epochs: epochs planned.
        steps: steps in an epoch.
        phase: how the story ends: running, paused, finished, failed or stopped.
        seed: names the random drift of alphas and losses.
        method: ms-darts also tells of shifts, eigenvalues and gaps.
        space: of the search; its layout and genotypes.
        start: Unix seconds of the first event.
    """
    asked = (kind, epochs_done, epochs, steps, phase, seed, method, space, start)
    return list(_made_up_events(*asked))


@functools.cache
def _made_up_events(
    kind: str,
    epochs_done: int,
    epochs: int,
    steps: int,
    phase: str,
    seed: int,
    method: str,
    space: str,
    start: float,
) -> tuple[AnyEvent, ...]:
    """As `made_up_events`; each story is made once, because events never change."""
    story = _Story(kind, epochs, steps, seed, start, space)
    story.method = method
    whole = epochs if phase == "finished" else min(epochs_done, epochs)
    story.append(story.started(seed), 0.0)
    for epoch in range(1, whole + 1):
        story.run_epoch(epoch, steps)
    if phase != "finished" and whole < epochs:
        story.run_epoch(whole + 1, max(1, steps // 2))
    story.end(phase)
    return tuple(story.reported)


def layouts(space: str) -> list[CellLayout]:
    """What a run of the space announces."""
    spec = SPECS[space]
    names, first = list(spec.candidates), spec.inputs
    if spec.parents:
        nodes = list(range(1, spec.nodes + 1))
        output = spec.nodes + 1
        return [
            CellLayout(
                name="operations",
                edges=[(node, node) for node in nodes],
                operations=names,
                shows="nodes",
                labels=[f"node {node}" for node in nodes],
            ),
            CellLayout(
                name="parents",
                edges=[(node, node) for node in spec.choices],
                operations=["in", *map(str, nodes)],
                shows="parents",
                labels=["output" if n == output else f"node {n}" for n in spec.choices],
            ),
        ]
    targets = range(first, spec.nodes + first)
    edges = [(source, node) for node in targets for source in range(node)]
    return [CellLayout(name=cell, edges=edges, operations=names) for cell in spec.cells]


def derive(space: str, weights: dict[str, list[list[float]]]) -> Genotype:
    """The genotype of mixing weights, as the space derives it."""
    spec = SPECS[space]
    if spec.parents:
        chosen = dict(zip(spec.choices, weights["parents"], strict=True))
        return derivation_one_cell.derive_nodes(
            weights["operations"], spec.candidates, chosen, spec.parents
        )
    if spec.inputs == 1:
        return derivation_one_cell.derive_edges(weights["cell"], spec.candidates)
    made = derivation.derive(weights, spec.candidates)
    if space != "nasnet-like":
        return made
    loose = {
        cell: tuple(
            state
            for state in range(2, spec.nodes + 2)
            if state not in {edge.input for edge in made.edges(cell)}
        )
        for cell in CELLS
    }
    return msgspec.structs.replace(
        made, normal_concat=loose["normal"], reduce_concat=loose["reduce"]
    )


def config_of(kind: str, epochs: int, seed: int, space: str = "darts") -> Config:
    """What was asked of the run."""
    section = "search" if kind == "search" else "train"
    changes: dict[str, object] = {f"{section}.epochs": epochs, "engine.seed": seed}
    if space != "darts":
        changes["space.space"] = space
    return config.override(config.KINDS[kind](), changes)


class _Story:
    """Tells one run, event by event."""

    def __init__(
        self, kind: str, epochs: int, steps: int, seed: int, start: float, space: str
    ) -> None:
        self.kind, self.epochs, self.steps = kind, epochs, steps
        self.reported: list[AnyEvent] = []
        self.now, self.at = start, {"epoch": 1, "step": 0, "global_step": 0}
        self.config = config_of(kind, epochs, seed, space)
        self.space, self.layouts = space, layouts(space)
        self.stochastic = random.Random(seed)
        self.goals = {
            layout.name: [
                self._goals(target if layout.shows == "parents" else len(layout.operations))
                for _, target in layout.edges
            ]
            for layout in self.layouts
        }
        self.genotype: Genotype | None = (
            None if kind == "search" else published()["DARTS_V2"].genotype
        )
        self.schedules = _schedules(kind, epochs)
        self.best = 0.0
        self.method = "darts"

    def _goals(self, columns: int) -> list[tuple[float, float]]:
        """Per operation: an early preference that fades and a late one that lasts."""
        return [
            (self.stochastic.gauss(0.0, 0.4), self.stochastic.gauss(0.0, 0.7))
            for _ in range(columns)
        ]

    def _padded(self, values: dict[str, list[list[float]]]) -> dict[str, Matrix]:
        """As on the log: null where a column is no state before the node."""
        wide = {layout.name: len(layout.operations) for layout in self.layouts}
        return {
            cell: [[*row, *[None] * (wide[cell] - len(row))] for row in rows]
            for cell, rows in values.items()
        }

    def append(self, event: AnyEvent, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)
        seq = len(self.reported) + 1
        self.reported.append(msgspec.structs.replace(event, seq=seq, t=self.now))

    def started(self, seed: int) -> events.RunStarted:
        search = self.kind == "search"
        return events.RunStarted(
            name=f"{self.kind}-{seed}",
            kind=self.kind,
            config=config.to_plain(self.config),
            versions={"darts-tui": "0.1.0", "python": "3.11.9", "torch": "2.10.0"},
            device="cpu",
            threads=1,
            pid=4321,
            host="bench",
            parameters=92_778 if search else 148_826,
            alpha_parameters=224 if search else 0,
            epochs=self.epochs,
            steps_per_epoch=self.steps,
            method=self.method if search else "",
            space=self.space if search else "",
            dataset="digits",
            classes=[str(digit) for digit in range(10)],
            images={"weights": 719, "alpha": 718, "test": 360}
            if search
            else {"train": 1437, "test": 360},
            image_shape=[1, 8, 8],
            cells=self.layouts if search else [],
            schedules=self.schedules,
            genotype=self.genotype,
        )

    def run_epoch(self, epoch: int, until: int) -> None:
        values = {span.name: span.values[epoch - 1] for span in self.schedules}
        self.append(events.EpochStarted(epoch=epoch, steps=self.steps, schedules=values), 0.01)
        for step in range(1, until + 1):
            self._step(epoch, step)
        if until < self.steps:
            return
        shifts = self.method == "ms-darts"
        if shifts:
            self._shift()
        self._measure()
        if shifts:
            self._gap()
        self._finish_epoch(epoch)
        if epoch == 2:
            self._pause_and_resume()
        if epoch == 3 and self.space == "darts":
            message = "skip connections on 4 of 8 edges of the normal cell (alert at 4)"
            self.append(events.AlertRaised(code="skip_count", message=message, epoch=3,
                                        global_step=self.at["global_step"]), 0.0)  # fmt: skip

    def _step(self, epoch: int, step: int) -> None:
        self.at = {
            "epoch": epoch,
            "step": step,
            "global_step": (epoch - 1) * self.steps + step,
        }
        loss = self._loss()
        alpha_loss = round(loss * 1.1, 4) if self.kind == "search" else None
        self.append(
            events.StepFinished(
                **self.at, train_loss=loss, train_top1=self._top1(-1.0), alpha_loss=alpha_loss
            ),
            EPOCH_S / self.steps,
        )
        if self.kind == "search" and step in (self.steps // 2, self.steps):
            self._sample_alpha()

    def _sample_alpha(self) -> None:
        early, late = (
            0.6 * self._age() * math.exp(-self._age() / 5),
            1 - math.exp(-self._age() / 20),
        )
        alphas = {
            cell: [[round(a * early + b * late, 5) for a, b in row] for row in goals]
            for cell, goals in self.goals.items()
        }
        weights = {
            cell: [[round(w, 6) for w in row] for row in derivation.softmax(rows)]
            for cell, rows in alphas.items()
        }
        self.weights = weights
        reported = {"alphas": self._padded(alphas), "weights": self._padded(weights)}
        self.append(events.AlphaSampled(**self.at, **reported), 0.0)
        genotype = derive(self.space, weights)
        changed = derivation.changes(self.genotype, genotype)
        if changed or self.genotype is None:
            self.genotype = genotype
            text = genotype.text()
            self.append(
                events.GenotypeDerived(**self.at, genotype=genotype, text=text, changed=changed),
                0.0,
            )

    def _measure(self) -> None:
        epoch, global_step = self.at["epoch"], self.at["global_step"]
        search = self.kind == "search" and self.genotype is not None
        cells = self.genotype.cells if self.genotype and search else ()
        self.append(
            events.HealthMeasured(
                epoch=epoch,
                global_step=global_step,
                entropy={c: _entropy(w) for c, w in self.weights.items()} if search else {},
                skip_count={c: _skips(self.genotype, c) for c in cells},
                kept_edges={c: len(self.genotype.edges(c)) for c in cells if self.genotype},
                alpha_grad_norm=round(0.08 / epoch**0.5, 5) if search else None,
                weight_grad_norm=round(3.0 / epoch**0.5, 4),
                eigenvalue=round(0.1 + 0.004 * epoch**1.2, 5)
                if self.method == "ms-darts"
                else None,
            ),
            0.0,
        )
        self.append(
            events.SystemMeasured(
                global_step=global_step,
                images_per_s=235.0,
                step_ms=545.0,
                alpha_ms=260.0 if search else None,
                weight_ms=270.0,
                data_ms=15.0,
                cpu_percent=98.5,
                cpu_count=2,
                rss_bytes=412_000_000,
                memory_total_bytes=8_200_000_000,
                disk_free_bytes=52_000_000_000,
            ),
            0.0,
        )

    def _shift(self) -> None:
        radius = 0.025 + 0.225 * (self.at["epoch"] - 1) / self.epochs
        losses = [round(self._loss() + 0.1 * self.stochastic.random(), 4) for _ in range(6)]
        shift = {cell: round(radius * self.stochastic.uniform(0.8, 1.2), 5) for cell in CELLS}
        self.append(
            events.MeanShifted(
                **self.at, losses=losses, shift=shift, radius=round(radius, 5), bandwidth=1.0
            ),
            0.0,
        )

    def _gap(self) -> None:
        top1 = self._top1(0.0)
        self.append(
            events.GapMeasured(
                **self.at,
                supernet_loss=self._loss(),
                supernet_top1=top1,
                derived_loss=2.4,
                derived_top1=round(0.2 * top1, 2),
                renewed_loss=0.9,
                renewed_top1=round(0.7 * top1, 2),
            ),
            0.0,
        )

    def _finish_epoch(self, epoch: int) -> None:
        valid_top1 = self._top1(0.0)
        is_best, self.best = valid_top1 > self.best, max(self.best, valid_top1)
        self.append(
            events.EpochFinished(
                epoch=epoch,
                global_step=self.at["global_step"],
                train_loss=self._loss(),
                train_top1=self._top1(1.0),
                train_top5=99.0,
                valid_loss=round(self._loss() * 1.1, 4),
                valid_top1=valid_top1,
                valid_top5=98.5,
                auxiliary_loss=None if self.kind == "search" else round(self._loss() * 1.3, 4),
                seconds=EPOCH_S,
                images_per_s=235.0,
                is_best=is_best,
            ),
            0.2,
        )
        seq = len(self.reported)
        path = f"checkpoints/step-{self.at['global_step']:09d}-seq-{seq}.pt"
        reason = "best" if is_best and self.kind == "train" else "epoch"
        self.append(
            events.CheckpointSaved(
                **self.at, path=path, reason=reason, size_bytes=1_240_000, seconds=0.03
            ),
            0.03,
        )

    def _pause_and_resume(self) -> None:
        source = "ada@pts/3"
        accepted, done = events.CommandAccepted, events.CommandDone
        self.append(accepted(id="a1", command="pause", source=source), 0.1)
        self.append(done(id="a1", command="pause", seconds=0.0), 0.0)
        self.append(events.RunPaused(**self.at, reason="command"), 0.0)
        self.append(accepted(id="a2", command="resume", source=source), 30.0)
        self.append(done(id="a2", command="resume", seconds=0.0), 0.0)
        self.append(events.RunContinued(**self.at), 0.0)

    def end(self, phase: str) -> None:
        text = self.genotype.text() if self.genotype else ""
        if phase == "paused":
            self.append(events.RunPaused(**self.at, reason="command"), 0.1)
        elif phase == "failed":
            message = "the training loss is not a finite number\nepoch and step above\nlower --lr"
            self.append(events.RunFailed(message=message, exit_code=6), 0.1)
        elif phase == "stopped":
            self.append(events.RunStopping(reason="command"), 0.1)
            self.append(events.RunStopped(**self.at, reason="command"), 0.1)
        elif phase == "finished":
            ended = [event for event in self.reported if isinstance(event, events.EpochFinished)]
            best = max(ended, key=lambda event: event.valid_top1 or 0.0)
            self.append(
                events.RunFinished(
                    seconds=round(self.now - self.reported[0].t, 3),
                    genotype=self.genotype,
                    text=text,
                    train_top1=ended[-1].train_top1,
                    valid_top1=ended[-1].valid_top1,
                    best_top1=best.valid_top1,
                    best_epoch=best.epoch,
                ),
                0.1,
            )

    def _age(self) -> float:
        return self.at["global_step"] / self.steps

    def _loss(self) -> float:
        return round(2.2 * math.exp(-self._age() / 5) + 0.05 + self.stochastic.uniform(0, 0.04), 4)

    def _top1(self, offset: float) -> float:
        top1 = 97.5 - 80 * math.exp(-self._age() / 4) + self.stochastic.uniform(-0.5, 0.5) + offset
        return round(min(100.0, max(0.0, top1)), 2)


def _schedules(kind: str, epochs: int) -> list[events.ScheduleSpan]:
    lr, low = (0.05, 0.001) if kind == "search" else (0.05, 0.0)
    cosine = [low + (lr - low) * (1 + math.cos(math.pi * e / epochs)) / 2 for e in range(epochs)]
    ramp = [0.0 if kind == "search" else 0.1 * e / epochs for e in range(epochs)]
    spans = [("lr_weights", "lr", cosine), ("drop_path", "drop path", ramp)]
    if kind == "search":
        spans.insert(1, ("lr_alpha", "lr alpha", [0.02] * epochs))
    return [
        events.ScheduleSpan(name=name, label=label, values=[round(v, 6) for v in values])
        for name, label, values in spans
    ]


def _entropy(weights: derivation.Rows) -> float:
    total = sum(-w * math.log(w) for row in weights for w in row if w > 0)
    return round(total / len(weights), 5)


def _skips(genotype: Genotype | None, cell: str) -> int:
    edges = genotype.edges(cell) if genotype else []
    return sum(edge.operation == "skip_connect" for edge in edges)
