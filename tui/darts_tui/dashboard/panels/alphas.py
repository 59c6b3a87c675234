"""The mixing weights of one cell as a heatmap."""

from darts_engine.run.architecture.derivation import NONE
from darts_engine.run.architecture.genotype import RECURRENT
from darts_engine.run.architecture.kept import (
    choosable,
    kept_columns,
    row_counts,
    row_labels,
    strongest,
)
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.events import AlphaSampled
from darts_engine.run.state import RunState
from darts_tui.console.event_text import heading, short_operation
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.actions import NEXT_CELL
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.heatmap import Heat, Row, draw_beside, entropy, legend, scale_of
from darts_tui.dashboard.widgets.lines import Line, Span
from darts_tui.dashboard.widgets.stretches import brackets, stretches

SKIP = "skip_connect"
# Samples of whose rows the strongest columns are remembered.
MAX_WINNERS = 8000


class AlphaPanel(Panel):
    """Heatmap of the cell with index `cell`; None is the cell that the user has chosen."""

    def __init__(self, cell: int | None = None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._cell = cell
        self._winners: dict[tuple[str, int, bool], tuple[AlphaSampled, list[tuple[int, ...]]]] = {}

    def content(self, view: View, width: int, height: int) -> Content:
        """The heatmap, or why there is none."""
        del height
        layout = self._layout(view)
        sample = view.state.alpha_at(view.epoch)
        if layout is None:
            return Content([(Span("this run has no alpha", "muted"),)])
        title = (Span(clean(heading(layout.name), 30), "bold"),)
        if sample is None or layout.name not in sample.weights:
            return Content([(Span("waiting for the first alpha", "muted"),)], title=title)
        low, high = scale_of([row for m in sample.weights.values() for row in m])
        heat = Heat(
            [clean(name) for name in layout.operations],
            [clean(short_operation(name)) for name in layout.operations],
            self._rows(view, layout, sample.weights[layout.name]),
            low,
            high,
            "edge" if layout.shows == "edges" else "node",
        )
        parts = stretches([target for _, target in layout.edges[: len(heat.rows)]], width)
        head, rows = draw_beside(heat, width, parts)
        status = (Span(f"epoch {sample.epoch}", "muted"),)
        foot = [legend(heat, width, _summary(heat, layout))]
        flip = Span(self._other(view, layout), "muted", f"app.{NEXT_CELL.call}")
        details = (*title, Span("  mixing weights", "muted"), flip)
        return Content(rows, head=[head], foot=foot, title=details, status=status)

    def _other(self, view: View, layout: CellLayout) -> str:
        """The key for the next cell and what it shows; empty where all cells are on screen."""
        cells = view.state.started.cells if view.state.started else []
        if self._cell is not None or len(cells) < 2:
            return ""
        following = cells[(cells.index(layout) + 1) % len(cells)]
        shown = "other cell" if layout.shows == "edges" else clean(following.name, 20)
        return f"  {NEXT_CELL.key} {shown}"

    def _layout(self, view: View) -> CellLayout | None:
        cells = view.state.started.cells if view.state.started else []
        if not cells:
            return None
        index = view.cell % len(cells) if self._cell is None else self._cell
        return cells[index] if index < len(cells) else None

    def _rows(self, view: View, layout: CellLayout, weights: Matrix) -> list[Row]:
        derived = view.state.genotype_at(view.epoch)
        kept = kept_columns(layout, derived.genotype if derived else None)
        labels = row_labels(layout)
        stable = self._stable(view, layout)
        groups = groups_of(layout)
        return [
            Row(
                clean(labels[place], 20),
                row[: layout.edges[place][1]] if layout.shows == "parents" else row,
                kept[place],
                any(name != NONE for name in _names(layout, kept[place])),
                stable[place],
                groups[place],
            )
            for place, row in enumerate(weights[: min(len(labels), len(layout.edges))])
        ]

    def _stable(self, view: View, layout: CellLayout) -> list[int]:
        """For each row, the epochs since its strongest columns last changed."""
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

    def _winners_of(self, state: RunState, epoch: int, layout: CellLayout) -> list[tuple[int, ...]]:
        """The strongest columns of each row, computed once for each sample."""
        sample = state.epoch_alphas[epoch]
        # Until the first derivation, the number of parents that a node keeps is unknown.
        key = (layout.name, epoch, state.genotype is None)
        found = self._winners.get(key)
        if found is None or found[0] is not sample:
            if len(self._winners) > MAX_WINNERS:
                # Of epochs that a long run no longer keeps.
                self._winners.clear()
            found = self._winners[key] = (sample, winners(state, layout, sample))
        return found[1]


def groups_of(layout: CellLayout) -> list[str]:
    """The bracket beside each row that joins the edges into a node, in a recurrent cell."""
    if layout.name != RECURRENT or layout.shows != "edges":
        return [""] * len(layout.edges)
    return brackets([target for _, target in layout.edges])


def winners(state: RunState, layout: CellLayout, sample: AlphaSampled) -> list[tuple[int, ...]]:
    """The columns that a derivation would take from each row of a sample, in rising order.

    A row that a damaged log lacks has no columns.
    """
    rows = sample.weights.get(layout.name, [])
    # The number of parents belongs to the space, so any of the run's genotypes has it.
    counts = row_counts(layout, state.genotype.genotype if state.genotype else None)
    candidates = choosable(layout)
    found: list[tuple[int, ...]] = []
    for row, count in zip(rows, counts, strict=False):
        whole = [weight for weight in row if weight is not None]
        if count == 1 and candidates and len(whole) == len(layout.operations):
            # Long runs have thousands of samples: one column needs no sorting.
            found.append((max(candidates, key=whole.__getitem__),))
        else:
            found.append(tuple(sorted(strongest(row, layout, count))))
    return found + [()] * (len(layout.edges) - len(found))


def _names(layout: CellLayout, columns: tuple[int, ...]) -> list[str]:
    return [layout.operations[column] for column in columns if column < len(layout.operations)]


def _summary(heat: Heat, layout: CellLayout) -> Line:
    kept = [row for row in heat.rows if row.is_kept]
    spans: list[Span] = []
    if SKIP in layout.operations and kept:
        skips = sum(layout.operations.index(SKIP) in row.derived for row in kept)
        role = "warning" if 2 * skips > len(kept) else "muted"
        mark = "▲ " if 2 * skips > len(kept) else ""
        spans.append(Span(f"{mark}skips {skips}/{len(kept)}", role))
    entropies = [h for row in heat.rows if (h := entropy(row.weights)) is not None]
    if entropies:
        spans.append(Span(f"   mean H {sum(entropies) / len(entropies):.2f}", "muted"))
    return tuple(spans)
