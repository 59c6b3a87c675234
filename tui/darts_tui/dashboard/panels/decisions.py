"""The strongest operation of each edge, epoch by epoch.

A row per edge, time from left to right. The colour is the weight of the strongest operation; its
number stands where it differs from the epoch before. If a node chooses several parents, their
states stand there, and the colour is the weight of the weakest of them.
"""

from typing import ClassVar

from darts_engine.run.architecture.derivation import NONE
from darts_engine.run.architecture.genotype import ONE_CELL
from darts_engine.run.architecture.kept import row_labels
from darts_engine.run.architecture.layout import CellLayout
from darts_engine.run.events import AlphaSampled
from darts_tui.console.event_text import heading, short_operation
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.alphas import groups_of, winners
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.heatmap import level, scale_of
from darts_tui.dashboard.widgets.lines import Line, Span


class DecisionsPanel(Panel):
    """The strongest operation of every edge of one cell over the epochs."""

    TITLE: ClassVar[str] = "Decisions"

    def __init__(self, cell: int | None = None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._cell = cell

    def content(self, view: View, width: int, height: int) -> Content:
        """A column per epoch, up to six characters wide while there are few."""
        del height
        cells = view.state.started.cells if view.state.started else []
        index = view.cell % max(1, len(cells)) if self._cell is None else self._cell
        if index >= len(cells):
            return Content([])
        layout = cells[index]
        epochs = sorted(epoch for epoch in view.state.epoch_alphas if epoch <= view.at_epoch)
        if not epochs:
            return Content([(Span("waiting for the first alpha", "muted"),)])
        groups = groups_of(layout)
        labels = [
            group + clean(label, 20)
            for group, label in zip(groups, row_labels(layout), strict=False)
        ]
        label = 2 + max(map(len, labels), default=3) + 1
        room = max(1, width - label)
        wide = max(1, min(6, room // len(epochs)))
        shown = epochs if len(epochs) <= room else _thinned(epochs, room)
        samples = [view.state.epoch_alphas[epoch] for epoch in shown]
        now = view.state.alpha_at(view.epoch) or samples[-1]
        scale = scale_of([row for m in now.weights.values() for row in m])
        chosen = [winners(view.state, layout, sample) for sample in samples]
        rows = [
            (
                Span(f"  {name}".ljust(label), "muted"),
                *_row(layout, at, samples, chosen, wide, scale),
            )
            for at, name in enumerate(labels[: len(layout.edges)])
        ]
        title: Line = (
            Span(clean(heading(layout.name), 20), ""),
            Span(f"  epochs {shown[0]} to {shown[-1]}", "muted"),
        )
        return Content(rows, foot=[_legend(layout)], title=title)


def _thinned(epochs: list[int], room: int) -> list[int]:
    return [epochs[(at + 1) * len(epochs) // room - 1] for at in range(room)]


def _row(
    layout: CellLayout,
    at: int,
    samples: list[AlphaSampled],
    chosen: list[list[tuple[int, ...]]],
    wide: int,
    scale: tuple[float, float],
) -> Line:
    spans: list[Span] = []
    before: tuple[int, ...] = ()
    for sample, winners_of_rows in zip(samples, chosen, strict=True):
        columns = winners_of_rows[at]
        weights = [sample.weights[layout.name][at][column] or 0.0 for column in columns]
        if not columns:
            spans.append(Span(" " * wide))
            continue
        mark = "".join(map(str, columns)) if columns != before else ""
        spans.append(Span(mark.ljust(wide)[:wide], f"heat-{level(min(weights), *scale)}"))
        before = columns
    return tuple(spans)


def _legend(layout: CellLayout) -> Line:
    if layout.shows == "parents":
        return (Span("  states taken; 0 is the cell's input", "muted"),)
    spans: list[Span] = [Span("  ")]
    for column, name in enumerate(layout.operations):
        if name != NONE or layout.name in ONE_CELL:
            spans += [
                Span(f"{column} ", "bold"),
                Span(f"{clean(short_operation(name))}  ", "muted"),
            ]
    return tuple(spans)
