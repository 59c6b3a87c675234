"""The derived cells, node by node, and what changed last."""

import textwrap
from typing import ClassVar

from darts_engine.run.events import GenotypeChange, GenotypeDerived
from darts_engine.run.genotype import CELLS, Genotype
from darts_engine.run.networks import wide_in
from darts_tui.notes import change_text, short_operation, short_part, tabulated_text
from darts_tui.panels.panel import Content, Panel
from darts_tui.panels.view import View
from darts_tui.safe_text import clean
from darts_tui.widgets.lines import EMPTY, Line, Span, fit, width_of

TITLES = {"normal": "normal", "reduce": "reduction"}


class GenotypePanel(Panel):
    """Both cells in the published notation: operation(input) for each node."""

    TITLE: ClassVar[str] = "Genotype"

    def content(self, view: View, width: int, height: int) -> Content:
        """A table of nodes, then what changed and how long it has been so."""
        derived = view.state.genotype_at(view.epoch)
        genotype = derived.genotype if derived else None
        if genotype is None and view.state.started:
            genotype = view.state.started.genotype
        if genotype is None:
            return Content(_without_cells(view))
        changed = derived.changed if derived else []
        head, rows = _table(genotype, changed, width)
        if derived is None:
            return Content(rows, head=[head])
        title, said = _tabulated(view, width, height - len(rows) - 1)
        rows += said
        rows += _changes(derived, height - len(rows) - 1)
        stable = {cell: view.state.stable_epochs(cell, view.epoch) for cell in CELLS}
        words = f"stable: normal {stable['normal']}, reduction {stable['reduce']} ep"
        return Content(rows, head=[head], title=title, status=(Span(words, "muted"),))


def _tabulated(view: View, width: int, room: int) -> tuple[Line, list[Line]]:
    """What a published table says of the genotype: in the frame one figure, or in rows all."""
    found = view.state.tabulated_at(view.epoch)
    if found is None or not found.values:
        return EMPTY, []
    # A figure stays in one line: what holds it together is no space to textwrap.
    text = clean(tabulated_text(found)).replace(" ", "\N{NO-BREAK SPACE}")
    for end in (",", ":"):
        text = text.replace(f"{end}\N{NO-BREAK SPACE}", f"{end} ")
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    if len(lines) <= room:
        return EMPTY, [(Span(line.replace("\N{NO-BREAK SPACE}", " "), "bold"),) for line in lines]
    name = "cifar10" if "cifar10" in found.values else next(iter(found.values))
    return (Span(clean(f"{name} {found.values[name]:.2f} %", 24), "bold"),), []


def _without_cells(view: View) -> list[Line]:
    """A search before its first derivation, or a training of a network that has no cells."""
    started = view.state.started
    if started is None or not view.is_training:
        return [(Span("no genotype derived yet", "muted"),)]
    return [
        (Span(clean(wide_in(started.config), 40), "bold"),),
        (Span(f"{started.parameters:,} parameters"),),
        (Span("a network without cells", "muted"),),
    ]


def _table(
    genotype: Genotype, changed: list[GenotypeChange], width: int
) -> tuple[Line, list[Line]]:
    """A row per node with both cells side by side; names written out where they fit."""
    added = {(c.cell, c.node, part) for c in changed for part in c.added}
    for is_long in (True, False):
        columns = {c: _column(genotype, c, added, is_long=is_long) for c in CELLS}
        size = max((width_of(line) for c in CELLS for line in columns[c]), default=10) + 2
        if 6 + 2 * size <= width:
            break
    size = min(max(size, 12), (width - 6) // 2)
    head: Line = (
        Span("node  ", "muted"),
        *(Span(TITLES[cell].ljust(size), "muted") for cell in CELLS),
    )
    rows: list[Line] = []
    for at in range(max(len(columns[cell]) for cell in CELLS)):
        cells = [columns[cell][at] if at < len(columns[cell]) else EMPTY for cell in CELLS]
        rows.append(
            (Span(f"{at + 2:3d}   ", "muted"), *(s for line in cells for s in fit(line, size)))
        )
    return head, rows


def _column(
    genotype: Genotype, cell: str, added: set[tuple[str, int, str]], *, is_long: bool
) -> list[Line]:
    """One line for each node of a cell; new edges carry a star."""
    edges = genotype.edges(cell)

    def name(operation: str) -> str:
        return clean(operation if is_long else short_operation(operation))

    longest = max((len(name(edge.operation)) for edge in edges), default=4) + 5
    lines: list[Line] = []
    for node in range(2, genotype.nodes(cell) + 2):
        spans: list[Span] = []
        for edge in (e for e in edges if e.node == node):
            is_new = (cell, node, f"{edge.operation}({edge.input})") in added
            text = f"{name(edge.operation)}({edge.input}){'*' if is_new else ''}"
            spans.append(Span(text.ljust(longest), "warning bold" if is_new else ""))
        lines.append(tuple(spans) or (Span("–", "muted"),))
    return lines


def _changes(derived: GenotypeDerived, room: int) -> list[Line]:
    """What the newest derivation replaced, in as many lines as there is room for."""
    if not derived.changed or room < 2:
        return []
    lines: list[Line] = [EMPTY, (Span(f"* changed in epoch {derived.epoch}", "muted"),)]
    for change in derived.changed[: max(0, room - 2)]:
        spans = [Span(f"  {TITLES.get(change.cell, clean(change.cell)):<10}", "muted")]
        spans.append(Span(f"node {change.node}  ", "muted"))
        spans += [Span(f"−{clean(short_part(p))} ", "error") for p in change.removed]
        spans += [Span(f"+{clean(short_part(p))} ", "success") for p in change.added]
        lines.append(tuple(spans))
    return lines


class HistoryPanel(Panel):
    """Every change of the derived genotype so far, and its text."""

    TITLE: ClassVar[str] = "History"
    FOLLOWS_END: ClassVar[bool] = True

    def content(self, view: View, width: int, height: int) -> Content:
        """A line per change, the newest last."""
        text = _genotype_text(view)
        wrapped = textwrap.wrap(text, width, break_on_hyphens=False)
        foot: list[Line] = [(Span(line),) for line in wrapped]
        has_room = foot and height >= len(foot) + 6
        foot = [EMPTY, (Span("as published:", "muted"),), *foot] if has_room else []
        rows: list[Line] = []
        for derived in view.state.genotypes:
            if derived.epoch > view.at_epoch:
                break
            told = [f"{TITLES.get(c.cell, c.cell)} {change_text(c)}" for c in derived.changed]
            words = clean("; ".join(told) or "first derivation")
            rows.append((Span(f"epoch {derived.epoch:4d}  ", "muted"), Span(words)))
        if not rows:
            why = "a training changes no cells" if view.is_training else "nothing has changed yet"
            rows = [(Span(why, "muted"),)]
        return Content(rows, foot=foot)


def _genotype_text(view: View) -> str:
    derived = view.state.genotype_at(view.epoch)
    if derived:
        return clean(derived.text)
    genotype = view.state.final_genotype()
    return clean(genotype.text()) if genotype else ""
