"""A quantity over the epochs: a sparkline in one row, or a curve in several."""

from typing import NamedTuple

from darts_tui.dashboard.widgets.curve import trace
from darts_tui.dashboard.widgets.figures import short_number, sparkline
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span

LABEL, VALUE = 13, 12
# A taller curve shows no more.
TALLEST = 7


class Figure(NamedTuple):
    """One quantity over the epochs.

    Attributes:
        label: its name.
        values: one per epoch.
        text: its newest value.
        role: the style of the text.
    """

    label: str
    values: list[float]
    text: str
    role: str = ""


def figure_rows(figures: list[Figure], width: int, height: int, glyphs: str) -> list[Line]:
    """All figures under each other, as tall as fits the height."""
    named = max([LABEL, *(len(figure.label) + 1 for figure in figures)])
    wide = max(4, width - named - VALUE)
    tall = max(1, min(TALLEST, height // max(1, len(figures))))
    return [
        row
        for number, figure in enumerate(figures)
        for row in _rows(figure, named, wide, tall, f"series-{number % 8}", glyphs)
    ]


def _rows(figure: Figure, named: int, wide: int, tall: int, role: str, glyphs: str) -> list[Line]:
    """One figure in `tall` rows."""
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
