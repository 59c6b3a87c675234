"""`darts-tui import`: a run folder of the log of an official code, to watch, scrub and compare."""

import math
import re
import time
from pathlib import Path
from typing import Any

import msgspec

from darts_engine.run import events, folder, run_id
from darts_engine.run.architecture import derivation
from darts_engine.run.architecture.derivation import DARTS_OPERATIONS, NONE, SKIP
from darts_engine.run.architecture.derivation_one_cell import edges_of
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS
from darts_engine.run.architecture.genotype import CELLS, RECURRENT, Genotype
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import ConfigError
from darts_engine.run.events import Event
from darts_engine.run.folder import NAME_PATTERN, RunFolder
from darts_engine.run.run_id import RunRecord
from darts_engine.run.settings import catalog, config
from darts_engine.run.settings.config import Config
from darts_engine.run.state import IMPORTED
from darts_tui.runs.files import LOG, as_text, read_bytes
from darts_tui.runs.official_log import Epoch, Step, Story, read
from darts_tui.runs.printed import Group

_SETTINGS = {"batch_size": "data.batch_size", "seed": "engine.seed"}
_SEARCH = {"init_channels": "space.channels", "layers": "space.layers"}
_TRAIN = {"init_channels": "network.channels", "layers": "network.layers"}


def import_log(path: Path, name: str | None, runs: Path) -> tuple[RunFolder, list[str]]:
    """Make a run of a log.

    Args:
        path: of the log; `-` is standard input.
        name: of the run; None takes the log's, or for `log.txt` its folder's.
        runs: the folder of runs.

    Returns:
        The run, and what a person should know of it.

    Raises:
        NotFoundError: the log cannot be read.
        DataError: it tells of no epoch.
        RunError: the run's name is taken or not allowed.
    """
    text = as_text(read_bytes(path), str(path), LOG)
    written = path.stat().st_mtime if path.is_file() else time.time()
    story = read(text, time.gmtime(written).tm_year)
    is_search = any(epoch.genotypes or epoch.alphas for epoch in story.epochs)
    chosen = _config(story, "search" if is_search else "train")
    record = RunRecord(id=run_id.new_id())
    history = _History(story, chosen, record, path, name or _name(path), fallback=written)
    made = {run_id.NAME: run_id.encode(record), "events.jsonl": history.encoded()}
    return folder.create(runs, name or _name(path), chosen, made), history.notes


def _name(path: Path) -> str:
    """A name for the run: the log's, or its folder's where every log has the same name."""
    found = path.absolute()
    stem = found.parent.name if found.stem in ("log", "logs", "output", "train") else found.stem
    plain = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:64]
    return plain if NAME_PATTERN.match(plain) and plain != folder.LATEST else "imported"


def _config(story: Story, kind: str) -> Config:
    """What the log says was asked; the rest is as by default, and says nothing of the run."""
    names = _SETTINGS | (_SEARCH if kind == "search" else _TRAIN)
    changes: dict[str, Any] = {f"{kind}.epochs": min(story.planned, 10_000)}
    for theirs, ours in names.items():
        if (value := story.settings.get(theirs, "")).isdecimal() and len(value) < 10:
            changes[ours] = int(value)
    dataset = story.settings.get("set", story.settings.get("dataset", "")).lower()
    changes["data.dataset"] = dataset if dataset in catalog.DATASETS else "cifar10"
    chosen = config.KINDS[kind]()
    for key, value in changes.items():
        try:
            chosen = config.override(chosen, {key: value})
        except ConfigError:
            # A value that no run of ours can have, such as one layer; the log's text has it.
            continue
    if kind == "train":
        cell = published().get(story.settings.get("arch", ""))
        if cell is not None:
            chosen = config.override(chosen, {"network.genotype": cell.genotype.text()})
    return chosen


class _History:
    """The events of a story."""

    def __init__(
        self,
        story: Story,
        chosen: Config,
        record: RunRecord,
        path: Path,
        name: str,
        *,
        fallback: float,
    ) -> None:
        self.story, self.chosen, self.name, self.record = story, chosen, name, record
        self.kind = config.to_plain(chosen)["kind"]
        self.path, self.notes = path, list(story.notes)
        self.events: list[Event] = []
        self.genotype: Genotype | None = None
        self.layouts: list[CellLayout] = []
        self.weights: dict[str, Matrix] = {}
        self.best: tuple[float, int] | None = None
        self.now = story.epochs[0].t or fallback

    def encoded(self) -> bytes:
        """The event log."""
        self._start()
        for epoch in self.story.epochs:
            self._run(epoch)
        self._end()
        return b"".join(events.encode(event) for event in self.events)

    def _append(self, event: Event, t: float = 0.0) -> None:
        self.now = max(self.now, t)
        seq = len(self.events) + 1
        self.events.append(msgspec.structs.replace(event, seq=seq, t=self.now))

    def _start(self) -> None:
        story = self.story
        groups = [group for epoch in story.epochs for _, group in epoch.alphas]
        self.layouts = layouts(groups[0]) if groups else []
        lrs = [epoch.lr for epoch in story.epochs]
        first = story.epochs[0].number
        spans = []
        if first == 1 and len(lrs) == story.planned and all(lr is not None for lr in lrs):
            values = [lr for lr in lrs if lr is not None]
            spans = [events.ScheduleSpan(name="lr", label="learning rate", values=values)]
        network = getattr(self.chosen, "network", None)
        cell = published().get(story.settings.get("arch", "")) if network else None
        self._append(
            events.RunStarted(
                name=self.name,
                kind=self.kind,
                config=config.to_plain(self.chosen),
                versions={IMPORTED: str(self.path)},
                device=IMPORTED,
                threads=0,
                pid=0,
                host="",
                parameters=story.parameters,
                alpha_parameters=sum(len(c.edges) * len(c.operations) for c in self.layouts),
                epochs=story.planned,
                steps_per_epoch=story.steps,
                method=IMPORTED,
                space="darts" if self.kind == "search" else "",
                dataset=self.chosen.data.dataset,
                classes=[],
                images={},
                image_shape=[],
                cells=self.layouts,
                schedules=spans,
                genotype=cell.genotype if cell else None,
                run=self.record.id,
            )
        )
        self._note(f"imported from {self.path}; settings that the log does not print are defaults")
        for note in self.notes:
            self._note(note)

    def _note(self, message: str) -> None:
        self._append(events.LogWritten(level="info", message=message))

    def _run(self, epoch: Epoch) -> None:
        schedules = {} if epoch.lr is None else {"lr": epoch.lr}
        begun = events.EpochStarted(epoch=epoch.number, steps=self.story.steps, schedules=schedules)
        self._append(begun, epoch.t)
        content: list[tuple[int, int, Any]] = [(step.step, 0, step) for step in epoch.train]
        content += [(at, 1, group) for at, group in epoch.alphas]
        content += [(at, 2, genotype) for at, genotype in epoch.genotypes]
        before = Step(0, 0.0, 0.0, 0.0, epoch.t)
        for at, kind, what in sorted(content, key=lambda one: one[:2]):
            place = self._place(epoch.number, at)
            if kind == 0:
                self._append(
                    events.StepFinished(
                        **place,
                        train_loss=_since(before, what, "loss"),
                        train_top1=_since(before, what, "top1", most=100.0),
                    ),
                    what.t,
                )
                before = what
            elif kind == 1:
                self._sample(place, what)
            else:
                self._derive(place, what)
        if epoch.figures or epoch.valid:
            self._finish(epoch)

    def _place(self, epoch: int, step: int) -> dict[str, int]:
        step = min(step, self.story.steps)
        done = (epoch - 1) * self.story.steps
        return {"epoch": epoch, "step": step, "global_step": done + step}

    def _sample(self, place: dict[str, int], group: Group) -> None:
        names = [layout.name for layout in self.layouts]
        shapes = {
            layout.name: (len(layout.edges), len(layout.operations)) for layout in self.layouts
        }
        tables = {name: group.tables.get(name, []) for name in names}
        if any((len(t), len(t[0]) if t else 0) != shapes[name] for name, t in tables.items()):
            return
        mixed: dict[str, Matrix] = {}
        raw: dict[str, Matrix] = {}
        for name, rows in tables.items():
            if any(not math.isfinite(value) for row in rows for value in row):
                return
            # Of printed weights only their logarithms are known, to a constant in each row.
            weights = rows if group.is_mixed else derivation.softmax(rows)
            mixed[name] = [[round(value, 6) for value in row] for row in weights]
            raw[name] = [
                [round(_logarithm(v) if group.is_mixed else v, 6) for v in r] for r in rows
            ]
        self._append(events.AlphaSampled(**place, alphas=raw, weights=mixed))
        self.weights = mixed

    def _derive(self, place: dict[str, int], genotype: Genotype) -> None:
        is_alike = self.genotype is not None and self.genotype.form == genotype.form
        changed = derivation.changes(self.genotype, genotype) if is_alike else []
        if self.genotype is None or changed or not is_alike:
            text = genotype.text()
            self._append(
                events.GenotypeDerived(**place, genotype=genotype, text=text, changed=changed)
            )
        self.genotype = genotype

    def _finish(self, epoch: Epoch) -> None:
        train = epoch.train[-1] if epoch.train else None
        valid = epoch.valid[-1] if epoch.valid else None
        figures = epoch.figures
        valid_top1 = figures.get("valid_acc")
        is_best = valid_top1 is not None and (self.best is None or valid_top1 > self.best[0])
        if is_best and valid_top1 is not None:
            self.best = valid_top1, epoch.number
        place = self._place(epoch.number, self.story.steps)
        cell, cells = self.genotype, self.genotype.cells if self.genotype else ()
        self._append(
            events.HealthMeasured(
                epoch=epoch.number,
                global_step=place["global_step"],
                entropy={name: _entropy(rows) for name, rows in self.weights.items()},
                skip_count={c: _operations(cell, c).count(SKIP) for c in cells},
                kept_edges={c: len(_operations(cell, c)) for c in cells},
            )
        )
        self.weights = {}
        self._append(
            events.EpochFinished(
                epoch=epoch.number,
                global_step=place["global_step"],
                train_loss=figures.get("train_loss", train.loss if train else None),
                train_top1=figures.get("train_acc", train.top1 if train else None),
                train_top5=train.top5 if train else None,
                valid_loss=figures.get("valid_loss", valid.loss if valid else None),
                valid_top1=valid_top1,
                valid_top5=valid.top5 if valid and valid_top1 is not None else None,
                seconds=max(0.0, epoch.end - epoch.t),
                is_best=is_best,
            ),
            epoch.end,
        )

    def _end(self) -> None:
        story, last = self.story, self.story.epochs[-1]
        if last.number < story.planned or not last.figures:
            reason = f"the log ends in epoch {last.number} of {story.planned}"
            self.notes.append(reason)
            at = last.train[-1].step if last.train else 0
            self._append(events.RunStopped(**self._place(last.number, at), reason=reason))
            return
        started = self.events[0]
        assert isinstance(started, events.RunStarted)
        genotype = self.genotype or started.genotype
        self._append(
            events.RunFinished(
                seconds=self.now - self.events[0].t,
                genotype=genotype,
                text=genotype.text() if genotype else "",
                train_top1=last.figures.get("train_acc"),
                valid_top1=last.figures.get("valid_acc"),
                best_top1=self.best[0] if self.best else None,
                best_epoch=self.best[1] if self.best else None,
            )
        )


def layouts(group: Group) -> list[CellLayout]:
    """Rows and columns of printed matrices, by their shapes."""
    tables = group.tables
    if RECURRENT in tables or "cell" in tables:
        name = RECURRENT if RECURRENT in tables else "cell"
        nodes = next(n for n in range(1, 64) if n * (n + 1) // 2 >= len(tables[name]))
        columns = RECURRENT_OPERATIONS if name == RECURRENT else NASBENCH201_OPERATIONS
        return [CellLayout(name=name, edges=edges_of(nodes), operations=list(columns))]
    count = len(tables["normal"])
    edges = [(j, i + 2) for i in range(derivation.node_count(count)) for j in range(i + 2)]
    is_short = len(tables["normal"][0]) < len(DARTS_OPERATIONS)
    names = tuple(name for name in DARTS_OPERATIONS if not (is_short and name == NONE))
    return [CellLayout(name=cell, edges=edges, operations=list(names)) for cell in CELLS]


def _entropy(rows: Matrix) -> float:
    """The mean over the edges, in nats."""
    found = [-sum(w * math.log(w) for w in row if w) for row in rows]
    return round(sum(found) / len(found), 6)


def _operations(genotype: Genotype | None, cell: str) -> list[str]:
    return [edge.operation for edge in genotype.edges(cell)] if genotype else []


def _logarithm(weight: float) -> float:
    return math.log(max(weight, 1e-6))


def _since(before: Step, now: Step, what: str, most: float = math.inf) -> float | None:
    """The mean of the steps after an earlier one, of two means since the epoch's beginning."""
    earlier: float | None = getattr(before, what)
    later: float | None = getattr(now, what)
    if later is None or earlier is None:
        return later
    mean = (later * now.step - earlier * before.step) / (now.step - before.step)
    return round(min(max(mean, 0.0), most), 6)
