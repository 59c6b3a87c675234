"""Lines of styled spans, and a widget that redraws only the cells that changed.

A full redraw of a dashboard is tens of kilobytes, which is felt over SSH. `LinesView` compares new
lines with the shown ones and refreshes only the stretches of each line that differ.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, cast

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.events import Click
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from darts_tui.console.safe_text import clean
from darts_tui.dashboard.widgets.theme_styles import ThemeStyles

# Changes closer together than this are one stretch, because moving the cursor costs as much.
GAP = 6


class Span(NamedTuple):
    """A stretch of text of one role; a click on it runs `action`, an action of the app."""

    text: str
    role: str = ""
    action: str = ""


Line = tuple[Span, ...]
EMPTY: Line = ()


class Themed(Protocol):
    """An app that has styles by role and knows whether the terminal shows ASCII only."""

    theme_styles: ThemeStyles
    plain_glyphs: bool


def width_of(line: Iterable[Span]) -> int:
    """The width of a line in cells."""
    return sum(cell_len(span.text) for span in line)


def harmless(line: Sequence[Span]) -> Line:
    """The line without characters that a terminal obeys, should a panel have left them in."""
    return tuple(
        span if span.text.isprintable() else span._replace(text=clean(span.text)) for span in line
    )


def fit(line: Sequence[Span], width: int, role: str = "") -> Line:
    """Cut or pad a `harmless` line to exactly `width` cells; a cut text ends in an ellipsis."""
    out: list[Span] = []
    left = width
    for span in harmless(line):
        size = cell_len(span.text)
        if size > left:
            if left > 0:
                out.append(span._replace(text=set_cell_size(span.text, left - 1) + "…"))
            return tuple(out)
        out.append(span)
        left -= size
    if left > 0:
        out.append(Span(" " * left, role))
    return tuple(out)


def wrapped(line: Sequence[Span], width: int, indent: int = 0) -> list[Line]:
    """The line in as many rows as it needs, broken at spaces; later rows begin `indent` cells in.

    A word longer than a row is for `fit` to cut.
    """
    rows: list[Line] = []
    row: list[Span] = []
    for span in line:
        for word in _WORDS.findall(span.text):
            if row and width_of(row) + cell_len(word) > width:
                rows.append(tuple(row))
                row = [Span(" " * indent)]
                word = word.lstrip(" ")  # noqa: PLW2901  no row begins with the space before a word
            row.append(span._replace(text=word))
    return [*rows, tuple(row)]


def spread(left: Sequence[Span], right: Sequence[Span], width: int, role: str = "") -> Line:
    """`left` and `right` at the two ends of a line; without `right` if both do not fit."""
    space = width - width_of(left) - width_of(right)
    if space < 1:
        return fit(left, width, role)
    return (*left, Span(" " * space, role), *right)


_WORDS = re.compile(" *[^ ]+| +")
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("╭╮╰╯├┤┴┬┼", "+"),
        **dict.fromkeys("─━╌┈╸╺╶", "-"),
        **dict.fromkeys("│┃▏┊", "|"),
        **dict.fromkeys("▸▶", ">"),
        **dict.fromkeys("●◆■", "*"),
        **dict.fromkeys("▁▂▃", "_"),
        **dict.fromkeys("▄▅▆", "="),
        **dict.fromkeys("▇█", "#"),
        "▲": "!",
        "→": ">",
        "←": "<",
        "…": "~",
        "·": "-",
        "−": "-",
        "×": "x",
        "↓": "v",
        "↑": "^",
        "α": "a",
        "λ": "l",
        "Δ": "d",
        "°": " ",
        "–": "-",
        "○": "o",
        "∅": "0",
        "⏸": "=",
    }
)


class LinesView(Widget):
    """A widget of lines.

    Subclasses call `show_lines` from message handlers; drawing only turns spans into a strip.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []

    @property
    def lines_shown(self) -> list[str]:
        """The text of each line."""
        return ["".join(span.text for span in line) for line in self._lines]

    def check(self, lines: Sequence[Line]) -> None:
        """Raise what drawing these lines would raise, such as KeyError for an unknown role."""
        style = cast("Themed", self.app).theme_styles.style
        for role in {span.role for line in lines for span in line}:
            style(role)

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines and redraw the stretches that differ."""
        old, self._lines = self._lines, list(lines)
        regions: list[Region] = []
        for y in range(max(len(old), len(lines))):
            before = old[y] if y < len(old) else EMPTY
            after = lines[y] if y < len(lines) else EMPTY
            if before != after:
                regions += _changed(before, after, y, self.size.width)
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        """One line of the widget as a strip."""
        app = cast("Themed", self.app)
        width, style = self.size.width, app.theme_styles.style
        if not 0 <= y < len(self._lines):
            return Strip.blank(width, style(""))
        segments = [
            Segment(
                span.text.translate(_PLAIN) if app.plain_glyphs else span.text, style(span.role)
            )
            for span in self._lines[y]
        ]
        return Strip(segments).adjust_cell_length(width, style(""))

    async def on_click(self, event: Click) -> None:
        """Run the action of the span under the pointer."""
        if not 0 <= event.y < len(self._lines):
            return
        x = 0
        for span in self._lines[event.y]:
            x += cell_len(span.text)
            if event.x < x:
                if span.action:
                    event.stop()
                    await self.app.run_action(span.action)
                return


def _changed(before: Line, after: Line, y: int, width: int) -> list[Region]:
    """The stretches of line `y` to redraw; the whole line if a character is not one cell wide."""
    old, new = _cells(before), _cells(after)
    if old is None or new is None:
        return [Region(0, y, width, 1)]
    blank = (" ", "")
    length = max(len(old), len(new))
    old += [blank] * (length - len(old))
    new += [blank] * (length - len(new))
    found: list[list[int]] = []
    for x, (was, now) in enumerate(zip(old, new, strict=True)):
        if was != now:
            if found and x - found[-1][1] < GAP:
                found[-1][1] = x + 1
            else:
                found.append([x, x + 1])
    return [Region(start, y, end - start, 1) for start, end in found]


def _cells(line: Line) -> list[tuple[str, str]] | None:
    cells = [(character, span.role) for span in line for character in span.text]
    return cells if len(cells) == width_of(line) else None
