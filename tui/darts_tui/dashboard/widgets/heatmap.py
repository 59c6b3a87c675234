"""The mixing weights of one cell: a row per edge, a column per operation.

Colours are 16 levels of one scale; the digits show the same without colour. A narrow heatmap leaves
out first the operations' full names, then the stable epochs, then the entropy, then the digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from darts_themes import HEAT_LEVELS
from darts_tui.dashboard.widgets.lines import Line, Span, fit

# Cells between two stretches of rows.
GAP = 2
_ENDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Row:
    """One edge, or a node that chooses.

    Attributes:
        label: as in "0→2".
        weights: one per operation; None where it was not a finite number. A node with fewer parents
            to choose from than there are columns has fewer.
        derived: the columns the genotype takes from this row.
        is_kept: whether the derived network has this edge.
        stable: epochs since the row's strongest columns last changed.
        group: a bracket's part, which joins the rows of a node; empty where nodes are not joined.
    """

    label: str
    weights: Sequence[float | None]
    derived: tuple[int, ...]
    is_kept: bool
    stable: int
    group: str = ""


@dataclass(frozen=True)
class Heat:
    """A cell's rows, the names of its columns, and the scale that 16 levels divide.

    Attributes:
        names: of the columns, if they fit.
        short_names: of the columns otherwise.
        rows: in the order of the cell's edges.
        low: the weight at the lower end of the scale.
        high: the weight at the upper end.
        corner: the heading of the rows' labels.
    """

    names: Sequence[str]
    short_names: Sequence[str]
    rows: Sequence[Row]
    low: float
    high: float
    corner: str = "edge"


def scale_of(weights: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """Round ends around all weights; they change rarely, so that colours keep their meaning."""
    known = [w for row in weights for w in row if w is not None]
    if not known:
        return 0.0, 1.0
    top = max(known)
    high = next((end for end in _ENDS if top <= end), math.ceil(top))
    low = math.floor(max(0.0, min(known)) / 0.05) * 0.05
    return (low, high) if low < high else (0.0, high)


def level(weight: float, low: float, high: float) -> int:
    """The level of a weight, 0 to 15."""
    place = (weight - low) / (high - low) if high > low else 0.0
    return max(0, min(HEAT_LEVELS - 1, int(place * HEAT_LEVELS)))


def entropy(weights: Sequence[float | None]) -> float | None:
    """Entropy of an edge's weights, as shares of their sum, in nats."""
    known = [w for w in weights if w is not None and w > 0]
    total = sum(known)
    if not total:
        return None
    return -sum(w / total * math.log(w / total) for w in known)


def digits(weight: float | None) -> str:
    """A weight in three characters: ".34", "1.0", " – "."""
    if weight is None:
        return " – "
    return f"{weight:.2f}"[1:] if 0 <= weight < 0.995 else f"{weight:.1f}"[:3]


@dataclass(frozen=True)
class _Columns:
    edge: int
    cell: int
    has_entropy: bool
    has_stable: bool
    names: Sequence[str]


def _columns(heat: Heat, width: int) -> _Columns:
    """The widest columns that fit."""
    edge = 2 + max((len(row.label) + len(row.group) for row in heat.rows), default=3) + 1
    count = max(1, len(heat.names))

    def wide_enough(names: Sequence[str]) -> int:
        return max([7, *(len(name) + 2 for name in names)])

    full, short = wide_enough(heat.names), wide_enough(heat.short_names)
    if edge + full * count + 10 <= width:
        return _Columns(edge, full, True, True, heat.names)
    for cell, has_entropy, has_stable in (
        (short, True, True),
        (7, True, True),
        (6, True, True),
        (5, True, True),
        (5, True, False),
        (5, False, False),
        (3, True, False),
        (2, False, False),
    ):
        needed = edge + cell * count + has_entropy * 5 + has_stable * 5
        if needed <= width:
            return _Columns(edge, cell, has_entropy, has_stable, heat.short_names)
    return _Columns(edge, 1, False, False, heat.short_names)


def draw(heat: Heat, width: int) -> tuple[Line, list[Line]]:
    """The heading and one line for each edge, at most `width` cells wide."""
    columns = _columns(heat, width)
    return _heading(heat, columns), [_row(heat, row, columns) for row in heat.rows]


def draw_beside(heat: Heat, width: int, parts: Sequence[int]) -> tuple[Line, list[Line]]:
    """As `draw`, with stretches of the rows beside one another.

    Args:
        heat: all rows.
        width: of all stretches together.
        parts: the number of rows of each stretch, in order.
    """
    each = (width - GAP * (len(parts) - 1)) // len(parts)
    heads: list[Line] = []
    blocks: list[list[Line]] = []
    first = 0
    for count in parts:
        part = replace(heat, rows=heat.rows[first : first + count])
        head, rows = draw(part, each)
        heads.append(head)
        blocks.append(rows)
        first += count
    tall = max(parts)
    return _joined(heads, each), [
        _joined([rows[y] if y < len(rows) else () for rows in blocks], each) for y in range(tall)
    ]


def _joined(lines: Sequence[Line], each: int) -> Line:
    """Lines beside one another, all but the last padded to `each` cells and a gap."""
    spans = [span for line in lines[:-1] for span in fit(line, each + GAP)]
    return (*spans, *lines[-1])


def _heading(heat: Heat, columns: _Columns) -> Line:
    names = "".join(name[: columns.cell].center(columns.cell) for name in columns.names)
    text = f"  {heat.corner}".ljust(columns.edge)[: columns.edge] + names
    if columns.has_entropy:
        text += "    H"
    if columns.has_stable:
        text += " held"
    return (Span(text, "muted"),)


def _row(heat: Heat, row: Row, columns: _Columns) -> Line:
    line = [
        Span("▸ " if row.is_kept else "  ", "accent"),
        *([Span(row.group, "line")] if row.group else []),
        Span(row.label.ljust(columns.edge - 2 - len(row.group)), "" if row.is_kept else "muted"),
    ]
    for column, weight in enumerate(row.weights):
        heat_role = f"heat-{level(weight, heat.low, heat.high)}" if weight is not None else "muted"
        text = _cell_text(weight, column in row.derived, columns.cell)
        line.append(Span(text, f"{heat_role} bold" if column in row.derived else heat_role))
    if len(row.weights) < len(heat.names):
        line.append(Span(" " * columns.cell * (len(heat.names) - len(row.weights))))
    if columns.has_entropy:
        value = entropy(row.weights)
        line.append(Span(f"{value:5.2f}" if value is not None else "    –", "muted"))
    if columns.has_stable:
        role = "success" if row.stable >= 5 else "muted"
        line.append(Span(f"{row.stable:3d}ep", role))
    return tuple(line)


def _cell_text(weight: float | None, is_derived: bool, width: int) -> str:
    if width < 3:
        return ("■" if is_derived else " ").center(width)
    text = digits(weight)
    if width >= 5:
        text = f"[{text}]" if is_derived else f" {text} "
    return text.center(width)


def legend(heat: Heat, width: int, extra: Sequence[Span] = ()) -> Line:
    """The meaning of marks and colours, then `extra`; as much as fits."""
    marks = [Span("▸ ", "accent"), Span("kept  [ ] derived", "muted")]
    low = Span(f"   {digits(heat.low)} ", "muted")
    high = Span(f" {digits(heat.high)}   ", "muted")
    wide = [low, *(Span(" ", f"heat-{n}") for n in range(HEAT_LEVELS)), high]
    narrow = [low, *(Span(" ", f"heat-{n}") for n in range(0, HEAT_LEVELS, 2)), high]
    for parts in (
        (*marks, *wide, *extra),
        (*marks, *narrow, *extra[:1]),
        (*narrow, *extra[:1]),
        (*extra,),
    ):
        if sum(len(span.text) for span in parts) <= width:
            return tuple(parts)
    return fit(extra, width)
