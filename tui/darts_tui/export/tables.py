"""Alphas, epochs and confusions as CSV (RFC 4180): a row per recorded number, epoch or class.

States count from 0 as in a genotype: 0 and 1 are the cell's inputs. A number that was not finite is
an empty field.
"""

import csv
import io
from collections.abc import Iterable, Iterator

from darts_engine.run.events import AlphaSampled, CellLayout, EpochFinished
from darts_tui.safe_text import clean

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


def _alpha_rows(layouts: list[CellLayout], sample: AlphaSampled) -> Iterator[tuple[object, ...]]:
    when = (sample.epoch, sample.step, sample.global_step)
    for layout in layouts:
        alphas = sample.alphas.get(layout.name, [])
        weights = sample.weights.get(layout.name, [])
        # A foreign log may hold fewer rows than it announced: what is there is written.
        for edge, raw, mixed in zip(layout.edges, alphas, weights, strict=False):
            for name, alpha, weight in zip(layout.operations, raw, mixed, strict=False):
                yield (*when, _text(layout.name), *edge, _text(name), alpha, weight)


def _text(foreign: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    shown = clean(foreign)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
