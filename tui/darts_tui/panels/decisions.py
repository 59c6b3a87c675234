"""What each edge would have chosen, epoch by epoch: how the search made up its mind.

A row per edge, time from left to right. The colour is the weight of the strongest operation, and
its number is written where it differs from the epoch before.
"""

from typing import ClassVar

from darts_engine.run.derivation import NONE
from darts_engine.run.events import AlphaSampled, CellLayout
from darts_tui.notes import short_operation
from darts_tui.panels.alphas import CELL_TITLES, strongest
from darts_tui.panels.panel import Content, Panel
from darts_tui.panels.view import View
from darts_tui.safe_text import clean
from darts_tui.widgets.heatmap import level, scale_of
from darts_tui.widgets.lines import Line, Span


class DecisionsPanel(Panel):
    """Strongest operation of every edge of one cell over the epochs."""

    TITLE: ClassVar[str] = "Decisions"

    def __init__(self, cell: int | None = None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._cell = cell

    def content(self, view: View, width: int, height: int) -> Content:
        """Epochs in columns, several cells wide while there are few."""
        del height
        cells = view.state.started.cells if view.state.started else []
        index = view.cell % max(1, len(cells)) if self._cell is None else self._cell
        if index >= len(cells):
            return Content([])
        layout = cells[index]
        epochs = sorted(epoch for epoch in view.state.epoch_alphas if epoch <= view.at_epoch)
        if not epochs:
            return Content([(Span("waiting for the first alpha", "muted"),)])
        label = 2 + max(len(f"{a}→{b}") for a, b in layout.edges) + 1
        room = max(1, width - label)
        wide = max(1, min(6, room // len(epochs)))
        shown = epochs if len(epochs) <= room else _thinned(epochs, room)
        samples = [view.state.epoch_alphas[epoch] for epoch in shown]
        now = view.state.alpha_at(view.epoch) or samples[-1]
        scale = scale_of([row for m in now.weights.values() for row in m])
        rows = [_row(layout, at, samples, wide, label, scale) for at in range(len(layout.edges))]
        title: Line = (
            Span(clean(CELL_TITLES.get(layout.name, layout.name), 20), ""),
            Span(f"  epochs {shown[0]} to {shown[-1]}", "muted"),
        )
        return Content(rows, foot=[_legend(layout)], title=title)


def _thinned(epochs: list[int], room: int) -> list[int]:
    return [epochs[(at + 1) * len(epochs) // room - 1] for at in range(room)]


def _row(
    layout: CellLayout,
    edge: int,
    samples: list[AlphaSampled],
    wide: int,
    label: int,
    scale: tuple[float, float],
) -> Line:
    source, target = layout.edges[edge]
    spans = [Span(f"  {source}→{target}".ljust(label), "muted")]
    before: int | None = None
    for sample in samples:
        rows = sample.weights.get(layout.name, [])
        weights = rows[edge] if edge < len(rows) else []
        column = strongest(weights, layout.operations)
        weight = weights[column] if column is not None else None
        if column is None or weight is None:
            spans.append(Span(" " * wide))
            continue
        mark = str(column) if column != before else ""
        spans.append(Span(mark.ljust(wide)[:wide], f"heat-{level(weight, *scale)}"))
        before = column
    return tuple(spans)


def _legend(layout: CellLayout) -> Line:
    spans: list[Span] = [Span("  ")]
    for column, name in enumerate(layout.operations):
        if name != NONE:
            spans += [
                Span(f"{column} ", "bold"),
                Span(f"{clean(short_operation(name))}  ", "muted"),
            ]
    return tuple(spans)
