"""Alphas, epochs and confusions as CSV (RFC 4180): a row per recorded number, epoch or class.

States count from 0 as in a genotype; the first are the cell's inputs. A number that was not finite
is an empty field. If nodes choose their operation, the source is empty. If they choose parents,
each parent is a source and the operation is empty.
"""

import csv
import io
from collections.abc import Iterable, Iterator

from darts_engine.run.architecture.layout import CellLayout
from darts_engine.run.events import AccuracyTabulated, AlphaSampled, EpochFinished, MeanShifted
from darts_engine.run.state import RunState
from darts_tui.console.safe_text import clean

ALPHA_COLUMNS = (
    "epoch",
    "step",
    "global_step",
    "cell",
    "source",
    "target",
    "operation",
    "alpha",
    "weight",
)
HEALTH_COLUMNS = (
    "epoch",
    "cell",
    "entropy",
    "skip_count",
    "kept_edges",
    "edge_margin",
    "skip_share",
    "eigenvalue",
)
GAP_COLUMNS = ("supernet_top1", "derived_top1", "renewed_top1")
# In their place on text.
TEXT_COLUMNS = ("supernet_loss", "derived_loss", "renewed_loss")
TABULATED_COLUMNS = ("epoch", "step", "global_step", "table", "dataset", "accuracy")
SHIFT_COLUMNS = ("epoch", "step", "global_step", "sample", "loss", "radius", "bandwidth")
EPOCH_COLUMNS = tuple(n for n in EpochFinished.__struct_fields__ if n not in ("seq", "t", "v"))


def alpha_table(layouts: list[CellLayout], samples: Iterable[AlphaSampled]) -> Iterator[bytes]:
    """The table of every recorded alpha, a chunk per sample."""
    yield _lines([ALPHA_COLUMNS])
    for sample in samples:
        yield _lines(_alpha_rows(layouts, sample))


def epoch_table(epochs: Iterable[EpochFinished]) -> Iterator[bytes]:
    """The table of finished epochs."""
    yield _lines([EPOCH_COLUMNS])
    for epoch in epochs:
        yield _lines([[getattr(epoch, name) for name in EPOCH_COLUMNS]])


def confusion_table(classes: list[str], counts: list[list[int]]) -> bytes:
    """The table of a confusion matrix: a row per true class, a column per predicted one."""
    names = [_text(name) for name in classes]
    rows = ([name, *row] for name, row in zip(names, counts, strict=True))
    return _lines([["true \\ predicted", *names], *rows])


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A table of any rows; texts are made safe for spreadsheets."""
    shown = ([_text(v) if isinstance(v, str) else v for v in row] for row in rows)
    return _lines([list(header), *shown])


def health_table(state: RunState) -> bytes:
    """The health figures of a search, a row per epoch and cell.

    The gap is that of the epoch's last measurement.
    """
    figures = {f.epoch: f for f in state.edge_figures}
    gaps = {g.epoch: g for g in state.gaps}
    gap_columns = TEXT_COLUMNS if state.is_text else GAP_COLUMNS
    rows: list[tuple[object, ...]] = []
    for health in state.health:
        edges, gap = figures.get(health.epoch), gaps.get(health.epoch)
        for cell, entropy in health.entropy.items():
            rows.append(
                (
                    health.epoch,
                    cell,
                    entropy,
                    health.skip_count.get(cell),
                    health.kept_edges.get(cell),
                    edges.margin.get(cell) if edges else None,
                    edges.skip_share.get(cell) if edges else None,
                    health.eigenvalue,
                    *(getattr(gap, name, None) for name in gap_columns),
                    *([health.hidden_norm] if state.is_text else []),
                )
            )
    beside = ("hidden_norm",) if state.is_text else ()
    return table((*HEALTH_COLUMNS, *gap_columns, *beside), rows)


def shift_table(shifts: Iterable[MeanShifted]) -> bytes:
    """The last mean shift of each epoch: a row per sample."""
    rows = [
        (s.epoch, s.step, s.global_step, number, loss, s.radius, s.bandwidth)
        for s in shifts
        for number, loss in enumerate(s.losses, 1)
    ]
    return table(SHIFT_COLUMNS, rows)


def tabulated_table(found: Iterable[AccuracyTabulated]) -> bytes:
    """The accuracies of derived genotypes in published tables, a row per data set."""
    rows = [
        (event.epoch, event.step, event.global_step, event.table, name, value)
        for event in found
        for name, value in event.values.items()
    ]
    return table(TABULATED_COLUMNS, rows)


def _alpha_rows(layouts: list[CellLayout], sample: AlphaSampled) -> Iterator[tuple[object, ...]]:
    when = (sample.epoch, sample.step, sample.global_step)
    for layout in layouts:
        alphas = sample.alphas.get(layout.name, [])
        weights = sample.weights.get(layout.name, [])
        # A foreign log may have fewer rows than it announced.
        for edge, raw, mixed in zip(layout.edges, alphas, weights, strict=False):
            columns = zip(layout.operations, raw, mixed, strict=False)
            for column, (name, alpha, weight) in enumerate(columns):
                place: tuple[object, ...] = (*edge, _text(name))
                if layout.shows == "nodes":
                    place = ("", edge[1], _text(name))
                elif layout.shows == "parents":
                    if column >= edge[1]:
                        break
                    place = (column, edge[1], "")
                yield (*when, _text(layout.name), *place, alpha, weight)


def _text(foreign: str) -> str:
    """A text that spreadsheets do not take for a formula."""
    shown = clean(foreign)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
