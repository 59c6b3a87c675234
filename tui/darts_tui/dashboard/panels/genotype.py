"""The derived cells, node by node, and their changes."""

import textwrap
from collections.abc import Callable
from typing import ClassVar

from darts_engine.run.architecture.genotype import (
    NASBENCH101,
    NASBENCH201,
    NONE,
    ONLY_CELLS,
    OUTPUT,
    RECURRENT,
    Edge,
    Genotype,
    GenotypeChange,
)
from darts_engine.run.architecture.networks import wide_in
from darts_engine.run.events import GenotypeDerived
from darts_tui.console.event_text import (
    cell_word,
    change_text,
    short_operation,
    short_part,
    tabulated_text,
)
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.chain import chain_rows
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span, fit, width_of


class GenotypePanel(Panel):
    """The cells in the published notation: operation(input) for each node."""

    TITLE: ClassVar[str] = "Genotype"

    def content(self, view: View, width: int, height: int) -> Content:
        """A table of nodes, the newest derivation's changes, and the epochs without a change."""
        derived = view.state.genotype_at(view.epoch)
        genotype = derived.genotype if derived else None
        if genotype is None and view.state.started:
            genotype = view.state.started.genotype
        if genotype is None:
            return Content(_without_cells(view))
        changed = derived.changed if derived else []
        if genotype.form == RECURRENT:
            head, rows = [], chain_rows(genotype, changed, width, height)
        else:
            heading, rows = _table(genotype, changed, width)
            head = [heading]
        if derived is None:
            return Content(rows, head=head)
        title, tabulated = _tabulated(view, width, height - len(rows) - len(head))
        rows += tabulated
        rows += _changes(derived, height - len(rows) - len(head))
        stable = {c: view.state.stable_epochs(c, view.epoch) for c in genotype.cells}
        counts = [f"{cell_word(cell)} {epochs}" for cell, epochs in stable.items()]
        if len(counts) == 1:
            counts = [str(epochs) for epochs in stable.values()]
        words = f"stable: {', '.join(counts)} ep"
        return Content(rows, head=head, title=title, status=(Span(words, "muted"),))


def _tabulated(view: View, width: int, room: int) -> tuple[Line, list[Line]]:
    """The genotype's accuracies in a published table: one for the frame, or all in rows."""
    found = view.state.tabulated_at(view.epoch)
    if found is None or not found.values:
        return EMPTY, []
    # A line must not end inside a figure, so spaces become no-break spaces.
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
    """A row per node with the cells side by side, operation names in full if they fit."""
    added = {(c.cell, c.node, part) for c in changed for part in c.added}
    cells = genotype.cells
    for is_long in (True, False):
        columns = {c: _column(genotype, c, added, is_long=is_long) for c in cells}
        size = max((width_of(line) for c in cells for line in columns[c]), default=10) + 2
        if 6 + len(cells) * size <= width:
            break
    size = min(max(size, 12), (width - 6) // len(cells))
    head: Line = (
        Span("node  ", "muted"),
        *(Span(cell_word(cell).ljust(size), "muted") for cell in cells),
    )
    nodes = max(len(columns[cell]) for cell in cells)
    labels = [f"{genotype.inputs + at:3d}" for at in range(nodes)]
    if genotype.form == NASBENCH101:
        labels[-1] = "out"
    elif outputs := _outputs(genotype):
        labels.append("out")
        for cell, line in outputs.items():
            columns[cell] += [EMPTY] * (nodes - len(columns[cell])) + [line]
    rows: list[Line] = []
    for at, label in enumerate(labels):
        parts = [columns[cell][at] if at < len(columns[cell]) else EMPTY for cell in cells]
        spans = [span for part in parts for span in fit(part, size)]
        rows.append((Span(f"{label:<6}", "muted"), *spans))
    return head, rows


def _outputs(genotype: Genotype) -> dict[str, Line]:
    """The states that each cell's output joins; empty if those are all nodes."""
    joined = {cell: genotype.cell(cell)[1] for cell in genotype.cells}
    if genotype.form == NASBENCH201 or all(
        len(states) == genotype.nodes(cell) for cell, states in joined.items()
    ):
        return {}
    return {
        cell: (Span(f"joins {', '.join(map(str, states))}", "muted"),)
        for cell, states in joined.items()
    }


def _column(
    genotype: Genotype, cell: str, added: set[tuple[str, int, str]], *, is_long: bool
) -> list[Line]:
    """One line for each node of a cell; new edges have a star."""
    edges = genotype.edges(cell)

    def name(operation: str) -> str:
        return clean(operation if is_long else short_operation(operation))

    def is_new(edge: Edge) -> bool:
        return (cell, edge.node, f"{edge.operation}({edge.input})") in added

    states = range(genotype.inputs, genotype.nodes(cell) + genotype.inputs)
    nodes = [[edge for edge in edges if edge.node == state] for state in states]
    if genotype.form == NASBENCH101:
        return [_taking(node, name, is_new) for node in nodes]
    longest = max((len(name(edge.operation)) for edge in edges), default=4) + 5
    lines: list[Line] = []
    for node in nodes:
        spans: list[Span] = []
        for edge in node:
            # A cell of NAS-Bench-201 lists every edge, also those with the operation none.
            quiet = "muted" if genotype.form == NASBENCH201 and edge.operation == NONE else ""
            text = f"{name(edge.operation)}({edge.input}){'*' if is_new(edge) else ''}"
            spans.append(Span(text.ljust(longest), "warning bold" if is_new(edge) else quiet))
        lines.append(tuple(spans) or (Span("–", "muted"),))
    return lines


def _taking(edges: list[Edge], name: Callable[[str], str], is_new: Callable[[Edge], bool]) -> Line:
    """A node with an operation of its own and its inputs, as in "conv3x3 ← in, 1"."""
    operation = next((edge.operation for edge in edges), OUTPUT)
    spans = [] if operation == OUTPUT else [Span(f"{name(operation)} ")]
    spans.append(Span("←", "muted"))
    for place, edge in enumerate(edges):
        taken = f" {edge.input or 'in'}{'*' if is_new(edge) else ''}"
        spans += [Span("," if place else ""), Span(taken, "warning bold" if is_new(edge) else "")]
    return tuple(spans)


def _changes(derived: GenotypeDerived, room: int) -> list[Line]:
    """The changes of the newest derivation, as many as fit."""
    if not derived.changed or room < 2:
        return []
    lines: list[Line] = [EMPTY, (Span(f"* changed in epoch {derived.epoch}", "muted"),)]
    for change in derived.changed[: max(0, room - 2)]:
        spans = [Span(f"  {_before(change):<10}" if _before(change) else "  ", "muted")]
        spans.append(Span(f"node {change.node}  ", "muted"))
        spans += [Span(f"−{clean(short_part(p))} ", "error") for p in change.removed]
        spans += [Span(f"+{clean(short_part(p))} ", "success") for p in change.added]
        lines.append(tuple(spans))
    return lines


def _before(change: GenotypeChange) -> str:
    """The cell type that changed; empty in spaces with one."""
    return "" if change.cell in ONLY_CELLS else clean(cell_word(change.cell))


class HistoryPanel(Panel):
    """Every change of the derived genotype so far, and the genotype as text."""

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
        for number, derived in enumerate(view.state.genotypes):
            if derived.epoch > view.at_epoch:
                break
            if number and not derived.changed:  # an epoch's last derivation, the same as before
                continue
            changes = [f"{_before(c)} {change_text(c)}".strip() for c in derived.changed]
            words = clean("; ".join(changes) or "first derivation")
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
