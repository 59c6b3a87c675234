"""One quantity over the epochs in a row, or in several where there is room."""

from typing import NamedTuple

from darts_tui.dashboard.widgets.curve import trace
from darts_tui.dashboard.widgets.figures import short_number, sparkline
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span

LABEL, VALUE = 13, 12
# A curve that is taller says no more.
TALLEST = 7


class Figure(NamedTuple):
    """One quantity over the epochs, and what to say about its newest value."""

    label: str
    values: list[float]
    text: str
    role: str = ""


def figure_rows(figures: list[Figure], width: int, height: int, glyphs: str) -> list[Line]:
    """All figures under each other, as tall as the height lets them be."""
    named = max([LABEL, *(len(figure.label) + 1 for figure in figures)])
    wide = max(4, width - named - VALUE)
    tall = max(1, min(TALLEST, height // max(1, len(figures))))
    return [
        row
        for number, figure in enumerate(figures)
        for row in _rows(figure, named, wide, tall, f"series-{number % 8}", glyphs)
    ]


def _rows(figure: Figure, named: int, wide: int, tall: int, role: str, glyphs: str) -> list[Line]:
    """A sparkline, or a curve of several rows where there is room for one."""
    label = Span(figure.label.ljust(named), "muted")
    text = Span(figure.text.rjust(VALUE), figure.role)
    if tall < 3 or len(figure.values) < 2:
        return [(label, *sparkline(figure.values, wide), text)]
    drawn = trace(figure.values, wide, tall - 1, role, glyphs)
    lows, highs = min(figure.values), max(figure.values)
    ends = {0: f"max {short_number(highs).strip()}", tall - 2: f"min {short_number(lows).strip()}"}
    rows: list[Line] = []
    for y, line in enumerate(drawn):
        name = label if y == 0 else Span(ends.get(y, "").ljust(named), "muted")
        rows.append((name, *line, text if y == 0 else Span("")))
    return [*rows, EMPTY]
