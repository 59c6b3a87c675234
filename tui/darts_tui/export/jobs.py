"""`darts-tui export`: write a run or a genotype to pictures and tables.

It takes from under a second to about ten, so the dashboard runs it in a child process. Everything
is read and planned first, so that errors come before the first file. A picture that cannot be drawn
costs a message; its Graphviz text or table is written anyway.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.errors import NotFoundError, RunError
from darts_engine.run.events import AlphaSampled, AnyEvent, Rewound
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold
from darts_tui.console.event_text import title
from darts_tui.console.safe_text import clean
from darts_tui.export import parquet, pictures, tables, tensorboard
from darts_tui.export.dot import THEMES, cell_dot
from darts_tui.export.files import open_folder, safe_stem, write_whole
from darts_tui.export.render import FORMATS, RenderError, render

WHAT = ("cells", "alphas", "curves")
# What other programs read; only by name.
FOR_OTHERS = ("tensorboard", "parquet")
# Those of `WHAT` that the run has.
ALL = "all"
MAX_CAPTION = 80


@dataclass(frozen=True)
class NamedGenotype:
    """A genotype that comes from no run, and the name for its files."""

    name: str
    genotype: Genotype


@dataclass
class Report:
    """The written files, in order, and messages for the user."""

    files: list[Path] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@dataclass
class ExportPlan:
    """The files to write: Graphviz texts by stem, pictures, and tables by file name."""

    formats: tuple[str, ...]
    theme: str
    drawings: dict[str, str] = field(default_factory=dict)
    jobs: list[pictures.Job] = field(default_factory=list)
    tables: dict[str, Iterable[bytes]] = field(default_factory=dict)

    def add_cells(self, stem: str, caption: str, genotype: Genotype) -> None:
        """Add drawings of the cells of a genotype."""
        for cell in genotype.cells:
            words = f"{clean(caption, MAX_CAPTION)}, {title(cell)}"
            self.drawings[f"{stem}-{cell}"] = cell_dot(
                genotype, cell, title=words, theme=self.theme
            )

    def add_picture(
        self, stem: str, picture: pictures.Heatmap | pictures.History | pictures.Curves
    ) -> None:
        """Add a picture in all requested formats that matplotlib has."""
        files = {f"{stem}.{f}": f for f in self.formats if f in FORMATS}
        if files:
            self.jobs.append(pictures.Job(picture=picture, files=files))


def export(
    target: RunFolder | NamedGenotype,
    *,
    what: Collection[str] = (),
    formats: Collection[str] = ("svg", "png"),
    out: Path | None = None,
    epoch: int | None = None,
    theme: str = "light",
) -> Report:
    """Write pictures and tables.

    Args:
        target: a run, live or over, or a genotype by itself (which has cells only).
        what: any of "cells" (Graphviz drawings), "alphas" (per cell a heatmap and its history over
            the epochs, and a CSV of every recorded alpha) and "curves" (pictures and CSV files of
            the epochs); "tensorboard" (an event file of all figures); "parquet" (a row per epoch);
            or "all", those of the first three that there are. Empty is "cells", or "curves" of a
            training without a genotype.
        formats: any of "svg", "png", "pdf", "dot" (cells only). The CSV files are always written.
        out: the folder; None is the run's exports folder, or the working folder for a genotype by
            itself.
        epoch: cells and heatmaps as of the end of this epoch, from 1; None is the final or latest.
            A training has one genotype throughout, and curves are always whole.
        theme: "light" or "dark", for the cells.

    Raises:
        RunError: an unknown word, nothing to export yet, or the folder cannot be written.
    """
    _check("thing to export", what or ["cells"], (*WHAT, *FOR_OTHERS, ALL))
    _check("format", formats, (*FORMATS, "dot"))
    _check("theme", [theme], tuple(THEMES))
    plan = ExportPlan(tuple(f for f in (*FORMATS, "dot") if f in formats), theme)
    if isinstance(target, RunFolder):
        _plan_run(plan, target, what, epoch)
        folder = open_folder(out or target.exports, own=out is None)
    else:
        if set(what) - {"cells", ALL}:
            remedy = "name a run to get the rest"
            raise RunError("a genotype has cells only", where=target.name, remedy=remedy)
        plan.add_cells(safe_stem(target.name), target.name, target.genotype)
        folder = open_folder(out or Path.cwd(), own=False)
    return _carry_out(plan, folder)


def _check(kind: str, given: Collection[str], known: tuple[str, ...]) -> None:
    unknown = [word for word in given if word not in known]
    if unknown or not given:
        what = f"there is no {kind} {unknown[0]!r}" if unknown else f"no {kind} was named"
        raise RunError(what, remedy=f"choose from {', '.join(known)}")


def _plan_run(plan: ExportPlan, run: RunFolder, what: Collection[str], epoch: int | None) -> None:
    state, rewinds = _read(run)
    if state.started is None:
        remedy = "try again when its first epoch is under way"
        raise RunError("the run has not started yet", where=run.name, remedy=remedy)
    if epoch is not None and not 1 <= epoch <= state.epoch:
        remedy = f"it has come to epoch {state.epoch}"
        raise NotFoundError(f"the run has no epoch {epoch}", where=run.name, remedy=remedy)
    what = _wanted(run, state, what, epoch)
    stem, moment, caption = safe_stem(run.name), "", run.name
    if state.kind == "search" and not (epoch is None and state.result):
        shown = state.epoch if epoch is None else epoch
        moment, caption = f"-epoch{shown:03d}", f"{run.name}, epoch {shown}"
    if "cells" in what:
        plan.add_cells(stem + moment, caption, _genotype(run, state, epoch))
    if "alphas" in what:
        sample = state.alpha_at(epoch)
        if sample is None:
            raise _nothing_yet(run, state, "alphas")
        genotype = _genotype(run, state, epoch)
        for layout in state.started.cells:
            words = f"{run.name}, {title(layout.name)}, epoch {sample.epoch}"
            name = f"{stem}{moment}-alphas-{safe_stem(layout.name)}"
            plan.add_picture(name, pictures.heatmap(layout, sample, genotype, words))
            past = [a for e, a in sorted(state.epoch_alphas.items()) if e <= sample.epoch]
            words = f"{run.name}, {title(layout.name)}"
            plan.add_picture(f"{name}-over-epochs", pictures.history(layout, past, genotype, words))
        samples = _samples(run, state.last_seq, rewinds)
        plan.tables[f"{stem}-alphas.csv"] = tables.alpha_table(state.started.cells, samples)
    if "tensorboard" in what:
        # A folder of its own: TensorBoard names a run after it.
        began = state.first_t or 0.0
        name = f"{tensorboard.FOLDER}/{stem}/{tensorboard.file_name(began)}"
        plan.tables[name] = tensorboard.file_of(_up_to(run, state.last_seq), rewinds, began)
    if "parquet" in what:
        parquet.check()
        if not state.epochs:
            raise RunError(
                "no epoch of the run is over", where=run.name, remedy="try again when one is"
            )
        plan.tables[f"{stem}-epochs.parquet"] = [parquet.content(parquet.columns(state, run.name))]
    if "curves" in what:
        plan.add_picture(f"{stem}-curves", pictures.curves(state, run.name))
        plan.tables[f"{stem}-curves.csv"] = tables.epoch_table(state.epochs)
        if any(measured.entropy for measured in state.health):
            plan.add_picture(f"{stem}-health", pictures.health(state, run.name))
            plan.tables[f"{stem}-health.csv"] = [tables.health_table(state)]
        if state.epoch_shifts:
            shifts = tables.shift_table(state.epoch_shifts.values())
            plan.tables[f"{stem}-mean-shift.csv"] = [shifts]
        if state.tabulated:
            found = tables.tabulated_table(state.tabulated)
            plan.tables[f"{stem}-tabulated.csv"] = [found]


def _wanted(
    run: RunFolder, state: RunState, what: Collection[str], epoch: int | None
) -> Collection[str]:
    """The things to export, with "all" and an empty choice replaced by names of `WHAT`."""
    if ALL in what:
        derived = _derived(state, epoch)
        available = {
            "cells": derived,
            "alphas": derived and state.alpha_at(epoch),
            "curves": state.epochs,
        }
        found = [name for name in WHAT if available[name]]
        if not found:
            raise RunError(
                "there is nothing to export yet",
                where=f"{run.name}, epoch {state.epoch}, step {state.step}",
                remedy="try again when an epoch is over",
            )
        return found
    is_without = state.kind != "search" and state.final_genotype() is None
    return what or (["curves"] if is_without else ["cells"])


def _read(run: RunFolder) -> tuple[RunState, list[Rewound]]:
    """The run's state and its rewinds, from the whole log."""
    state, rewinds = RunState(), []
    for event in _events(run):
        fold(state, event)
        if isinstance(event, Rewound):
            rewinds.append(event)
    return state, rewinds


def _events(run: RunFolder) -> Iterator[AnyEvent]:
    """All events of the log, read in stretches."""
    reader = LogReader(run.events)
    before = -1
    # A stretch may have no readable event. The log ends where the offset stays the same.
    while reader.offset > before:
        before = reader.offset
        yield from reader.read()


def _up_to(run: RunFolder, last_seq: int) -> Iterator[AnyEvent]:
    """The events that `_read` has read; a running engine may have written more since."""
    return (event for event in _events(run) if event.seq <= last_seq)


def _samples(run: RunFolder, last_seq: int, rewinds: list[Rewound]) -> Iterator[AlphaSampled]:
    """The recorded alphas up to `last_seq`, without those that a rewind has undone."""
    for event in _up_to(run, last_seq):
        if not isinstance(event, AlphaSampled):
            continue
        if not any(r.to_seq < event.seq < r.seq for r in rewinds):
            yield event


def _derived(state: RunState, epoch: int | None) -> Genotype | None:
    if epoch is None or state.kind != "search":
        return state.final_genotype()
    derived = state.genotype_at(epoch)
    return derived.genotype if derived else None


def _genotype(run: RunFolder, state: RunState, epoch: int | None) -> Genotype:
    genotype = _derived(state, epoch)
    if genotype is None:
        raise _nothing_yet(run, state, "genotype")
    return genotype


def _nothing_yet(run: RunFolder, state: RunState, thing: str) -> RunError:
    if state.kind != "search":
        return RunError(
            f"a training has no {thing}",
            where=run.name,
            remedy="name a search run, or --what curves",
        )
    return RunError(
        f"the run has no {thing} yet",
        where=f"{run.name}, epoch {state.epoch}, step {state.step}",
        remedy="try again when its alphas have been recorded, or at a later --epoch",
    )


def _carry_out(plan: ExportPlan, folder: Path) -> Report:
    report = Report()
    for stem, dot in plan.drawings.items():
        _draw_cell(stem, dot, plan.formats, folder, report)
    if plan.jobs:
        try:
            for name, content in pictures.draw(plan.jobs).items():
                report.files.append(write_whole(folder / name, [content]))
        except RenderError as error:
            report.messages.append(str(error))
    for name, chunks in plan.tables.items():
        if "/" in name:
            open_folder((folder / name).parent, own=False)
        report.files.append(write_whole(folder / name, chunks))
    return report


def _draw_cell(stem: str, dot: str, formats: tuple[str, ...], folder: Path, report: Report) -> None:
    """Draw in every format; if one fails or "dot" is requested, write the Graphviz text too."""
    needs_text = "dot" in formats
    for picture in formats:
        if picture == "dot":
            continue
        try:
            report.files.append(write_whole(folder / f"{stem}.{picture}", [render(dot, picture)]))
        except RenderError as error:
            needs_text = True
            if str(error) not in report.messages:
                report.messages.append(str(error))
    if needs_text:
        report.files.append(write_whole(folder / f"{stem}.dot", [dot.encode()]))
