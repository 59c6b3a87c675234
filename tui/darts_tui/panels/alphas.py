"""The architecture weights of one cell as a heatmap: what the search thinks, edge by edge."""

from darts_engine.run.derivation import NONE
from darts_engine.run.events import AlphaSampled, CellLayout, Matrix
from darts_engine.run.state import RunState
from darts_tui.notes import short_operation
from darts_tui.panels.panel import Content, Panel
from darts_tui.panels.view import View
from darts_tui.safe_text import clean
from darts_tui.widgets.heatmap import Heat, Row, draw, entropy, legend, scale_of
from darts_tui.widgets.lines import Line, Span

CELL_TITLES = {"normal": "Normal cell", "reduce": "Reduction cell"}
SKIP = "skip_connect"


class AlphaPanel(Panel):
    """Heatmap of the cell with index `cell`, or of the one the user flips to."""

    def __init__(self, cell: int | None = None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._cell = cell
        self._winners: dict[tuple[str, int], tuple[AlphaSampled, list[int | None]]] = {}

    def content(self, view: View, width: int, height: int) -> Content:
        """The heatmap, or what is being waited for."""
        del height
        layout = self._layout(view)
        sample = view.state.alpha_at(view.epoch)
        if layout is None:
            return Content([(Span("this run has no alpha", "muted"),)])
        title = (Span(clean(CELL_TITLES.get(layout.name, layout.name), 30), "bold"),)
        if sample is None or layout.name not in sample.weights:
            return Content([(Span("waiting for the first alpha", "muted"),)], title=title)
        low, high = scale_of([row for m in sample.weights.values() for row in m])
        heat = Heat(
            [clean(short_operation(name)) for name in layout.operations],
            self._rows(view, layout, sample.weights[layout.name]),
            low,
            high,
        )
        heading, rows = draw(heat, width)
        status = (Span(f"epoch {sample.epoch}", "muted"),)
        foot = [legend(heat, width, _summary(heat, layout))]
        can_flip = self._cell is None and view.state.started and len(view.state.started.cells) > 1
        flip = Span("  n other cell" if can_flip else "", "muted", "app.next_cell")
        details = (*title, Span("  mixing weights", "muted"), flip)
        return Content(rows, head=[heading], foot=foot, title=details, status=status)

    def _layout(self, view: View) -> CellLayout | None:
        cells = view.state.started.cells if view.state.started else []
        if not cells:
            return None
        index = view.cell % len(cells) if self._cell is None else self._cell
        return cells[index] if index < len(cells) else None

    def _rows(self, view: View, layout: CellLayout, weights: Matrix) -> list[Row]:
        derived = view.state.genotype_at(view.epoch)
        known = derived is not None and layout.name in ("normal", "reduce")
        edges = derived.genotype.edges(layout.name) if derived and known else []
        columns = {name: column for column, name in enumerate(layout.operations)}
        kept = {(edge.input, edge.node): columns.get(edge.operation) for edge in edges}
        stable = self._stable(view, layout)
        return [
            Row(f"{source}→{target}", row, kept.get((source, target)), stable[place])
            for place, ((source, target), row) in enumerate(
                zip(layout.edges, weights, strict=False)
            )
        ]

    def _stable(self, view: View, layout: CellLayout) -> list[int]:
        """For each edge: epochs since its strongest operation last changed."""
        epochs = sorted(e for e in view.state.epoch_alphas if e <= view.at_epoch)
        out = [0] * len(layout.edges)
        if not epochs:
            return out
        newest = self._winners_of(view.state, epochs[-1], layout)
        open_edges = set(range(len(layout.edges)))
        for epoch in reversed(epochs):
            winners = self._winners_of(view.state, epoch, layout)
            open_edges = {e for e in open_edges if winners[e] == newest[e]}
            if not open_edges:
                break
            for edge in open_edges:
                out[edge] = epochs[-1] - epoch
        return out

    def _winners_of(self, state: RunState, epoch: int, layout: CellLayout) -> list[int | None]:
        """The strongest operation of each edge, looked up once for each sample."""
        sample = state.epoch_alphas[epoch]
        key = (layout.name, epoch)
        found = self._winners.get(key)
        if found is None or found[0] is not sample:
            rows = sample.weights.get(layout.name, [])
            winners = [strongest(row, layout.operations) for row in rows]
            winners += [None] * (len(layout.edges) - len(winners))
            found = self._winners[key] = (sample, winners)
        return found[1]


def strongest(row: list[float | None], operations: list[str]) -> int | None:
    """The column a derivation would take from an edge: the largest weight that is not `none`."""
    candidates = [
        (weight, -column)
        for column, (weight, name) in enumerate(zip(row, operations, strict=False))
        if weight is not None and name != NONE
    ]
    return -max(candidates)[1] if candidates else None


def _summary(heat: Heat, layout: CellLayout) -> Line:
    kept = [row for row in heat.rows if row.derived is not None]
    spans: list[Span] = []
    if SKIP in layout.operations and kept:
        skips = sum(row.derived == layout.operations.index(SKIP) for row in kept)
        role = "warning" if 2 * skips > len(kept) else "muted"
        mark = "▲ " if 2 * skips > len(kept) else ""
        spans.append(Span(f"{mark}skips {skips}/{len(kept)}", role))
    entropies = [h for row in heat.rows if (h := entropy(row.weights)) is not None]
    if entropies:
        spans.append(Span(f"   mean H {sum(entropies) / len(entropies):.2f}", "muted"))
    return tuple(spans)
