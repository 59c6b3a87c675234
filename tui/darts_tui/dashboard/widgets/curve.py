"""Curves in braille: several series over epochs, with axes, ticks, the best point and a cursor.

Each cell is a grid of dots (2 x 4 in braille). Between two points a straight line is drawn; where
many points fall into one column of dots, the column spans their lowest and highest value, so that a
spike stays visible at any density.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from darts_tui.dashboard.widgets.figures import nice_step
from darts_tui.dashboard.widgets.lines import Line, Span

AXIS_WIDTH = 6
# The least distance of two numbers beside a logarithmic axis.
TICK_ROWS = 1.6
# What a logarithmic axis shows; anything beyond lies on its edge.
DRAWABLE = (1e-9, 1e300)
# Dot (row, column) of a braille cell -> its bit, as Unicode numbers them.
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_GRIDS = {"braille": (4, 2), "block": (2, 1), "ascii": (1, 1)}
_HALVES = {1: "▀", 2: "▄", 3: "█"}


@dataclass(frozen=True)
class Curve:
    """Points of one series in rising order of x."""

    xs: Sequence[float]
    ys: Sequence[float]
    role: str


@dataclass(frozen=True)
class Plot:
    """Curves, axes and marks to draw.

    Attributes:
        curves: later ones are drawn over earlier ones.
        x_end: right end of the axis; it starts at 0.
        x_name: the word after the last number.
        low, high: ends of the y axis; `log` makes it logarithmic (then both are above 0).
        best: a point to mark.
        division: an x to mark with a dotted line, behind the curves.
        cursor: an x to mark with a vertical line.
    """

    curves: Sequence[Curve]
    x_end: float
    low: float
    high: float
    x_name: str = "epoch"
    log: bool = False
    best: tuple[float, float] | None = None
    division: float | None = None
    cursor: float | None = None
    glyphs: str = "braille"
    ticks: Sequence[float] = field(default=())


def smooth(values: Sequence[float], factor: float) -> list[float]:
    """Exponential moving average with the weight `factor` on the past, corrected at the start."""
    out: list[float] = []
    mean = total = 0.0
    for value in values:
        mean = factor * mean + (1 - factor) * value
        total = factor * total + (1 - factor)
        out.append(mean / total)
    return out


def linear_axis(values: Sequence[float], rows: int) -> tuple[float, float, list[float]]:
    """Round ends of an axis around `values`, and its ticks."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        high = low + (abs(low) * 0.1 or 1.0)
    step = nice_step(high - low, 6 if rows >= 8 else 4 if rows >= 5 else 2)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return low, high, [low + step * at for at in range(round((high - low) / step) + 1)]


def log_axis(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Ends of a logarithmic axis at 1, 2 or 5 times a power of ten, and its ticks."""
    above = _drawable(values)
    low, high = min(above), max(above)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    marks = [round(m * 10.0**p, 12) for p in powers for m in (1, 2, 5)]
    start = max(m for m in marks if m <= low * 1.0001)
    end = min(m for m in marks if m >= max(high * 0.9999, start * 1.5))
    return start, end, [m for m in marks if start <= m <= end]


def _drawable(values: Sequence[float]) -> list[float]:
    """Values for a logarithmic axis: the exp of a loss that exploded is near the largest float."""
    bottom, top = DRAWABLE
    return [min(max(value, bottom), top) for value in values if value > 0] or [1.0]


def perplexity_axis(values: Sequence[float], rows: int) -> tuple[float, float, list[float]]:
    """Ends of a logarithmic axis around `values`, close to them, and its ticks.

    Perplexities of one run often lie within a factor of 4, where 1, 2 and 5 times a power of ten
    are too far apart: there the ticks are evenly spaced round numbers.
    """
    above = _drawable(values)
    low, high = min(above), max(above)
    low, high = min(low, 0.99 * high), max(high, 1.01 * low)
    if high > 4 * low:
        _, _, ticks = log_axis(above)
    else:
        step = nice_step(high - low, 5 if rows >= 8 else 3)
        first, last = math.ceil(low / step - 1e-9), int(high / step + 1e-9)
        ticks = [step * at for at in range(first, last + 1)]
    shown: list[float] = []
    for tick in ticks:
        # In neighbouring rows, numbers are hard to tell apart.
        apart = math.log(tick / shown[-1]) if shown else math.inf
        if low <= tick <= high and apart / math.log(high / low) * (rows - 1) >= TICK_ROWS:
            shown.append(tick)
    return low, high, shown


def x_end(total: float, now: float) -> float:
    """The end of the x axis: it grows in a few big, round steps until all epochs fit."""
    if total <= 0:
        return 1.0
    for end in (m * 10.0**p for p in range(7) for m in (1, 2, 5)):
        if end >= max(1.0, now * 1.25):
            return min(end, total) if end < total * 0.6 else total
    return total


def draw(plot: Plot, width: int, height: int) -> list[Line]:
    """The plot in `width` x `height` cells: y axis at the left, x axis in the last row."""
    rows, columns = height - 1, width - AXIS_WIDTH - 1
    if rows < 1 or columns < 8:
        return []
    cells = _raster(plot, rows, columns)
    labels = _labels(plot, rows)
    lines: list[Line] = []
    for y in range(rows):
        label = labels.get(y)
        axis = Span((label or "").rjust(AXIS_WIDTH), "muted")
        edge = Span("┤" if label else "│", "line")
        lines.append((axis, edge, *_merge(cells[y])))
    return [*lines, _x_axis(plot, columns)]


def trace(
    values: Sequence[float],
    width: int,
    height: int,
    role: str,
    glyphs: str,
    cursor: int | None = None,
) -> list[Line]:
    """A curve of one value per epoch without axes; `cursor` is the index to mark."""
    last = max(1, len(values) - 1)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high <= low:
        # A constant line runs through the middle.
        around = max(1.0, 0.001 * abs(low))
        low, high = low - around, high + around
    curve = Curve(range(len(values)), values, role)
    plot = Plot([curve], last, low, high, cursor=cursor, glyphs=glyphs)
    return [_merge(line) for line in _raster(plot, height, width)]


def _scale(plot: Plot, value: float) -> float:
    """0 at the bottom of the y axis, 1 at its top."""
    low, high = plot.low, plot.high
    if plot.log:
        value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _row_of(plot: Plot, value: float, rows: int) -> int:
    return round((1 - _scale(plot, value)) * (rows - 1))


def _labels(plot: Plot, rows: int) -> dict[int, str]:
    """Row -> text of its tick: the most ticks, counted from the lowest, that stand evenly."""
    out: dict[int, str] = {}
    for stride in range(1, max(2, len(plot.ticks))):
        out = {_row_of(plot, tick, rows): f"{tick:.4g}" for tick in plot.ticks[::stride]}
        places = sorted(out)
        gaps = [b - a for a, b in itertools.pairwise(places)]
        if plot.log or not gaps or (min(gaps) >= 2 and max(gaps) - min(gaps) <= 1):
            break
    return out


Cell = tuple[str, str]


def _raster(plot: Plot, rows: int, columns: int) -> list[list[Cell]]:
    high, wide = _GRIDS[plot.glyphs]
    dots = [[0] * columns for _ in range(rows)]
    roles = [[""] * columns for _ in range(rows)]
    for curve in plot.curves:
        for x, (top, bottom) in _dot_columns(plot, curve, rows * high, columns * wide):
            for y in range(top, bottom + 1):
                cell_y, cell_x = y // high, x // wide
                if plot.glyphs == "braille":
                    dots[cell_y][cell_x] |= _BRAILLE[y % high][x % wide]
                else:
                    dots[cell_y][cell_x] |= 1 << (y % high)
                roles[cell_y][cell_x] = curve.role
    out = [
        [
            (_glyph(bits, plot.glyphs), role) if bits else (" ", "")
            for bits, role in zip(line, names, strict=True)
        ]
        for line, names in zip(dots, roles, strict=True)
    ]
    _mark(plot, out, rows, columns)
    return out


def _mark(plot: Plot, cells: list[list[Cell]], rows: int, columns: int) -> None:
    if plot.division is not None and plot.x_end > 0:
        x = min(columns - 1, int(plot.division / plot.x_end * (columns - 1)))
        for line in cells:
            if line[x][0] == " ":
                line[x] = ("┊", "muted")
    if plot.cursor is not None and plot.x_end > 0:
        x = min(columns - 1, int(plot.cursor / plot.x_end * (columns - 1)))
        for line in cells:
            line[x] = ("│", "warning")
    if plot.best is not None:
        x = min(columns - 1, int(plot.best[0] / plot.x_end * (columns - 1)))
        high, _ = _GRIDS[plot.glyphs]
        cells[_row_of(plot, plot.best[1], rows * high) // high][x] = ("◆", "foreground bold")


def _glyph(bits: int, glyphs: str) -> str:
    if glyphs == "braille":
        return chr(0x2800 + bits)
    return _HALVES[bits] if glyphs == "block" else "*"


def _dot_columns(
    plot: Plot, curve: Curve, rows: int, columns: int
) -> list[tuple[int, tuple[int, int]]]:
    """For each column of dots that the curve passes, the topmost and bottommost dot."""
    spans: dict[int, tuple[int, int]] = {}

    def touch(x: int, y: int) -> None:
        top, bottom = spans.get(x, (y, y))
        spans[x] = (min(top, y), max(bottom, y))

    last: tuple[int, int] | None = None
    for x_value, y_value in zip(curve.xs, curve.ys, strict=True):
        if not 0 <= x_value <= plot.x_end:
            continue
        x = min(columns - 1, int(x_value / plot.x_end * (columns - 1)))
        y = round((1 - _scale(plot, y_value)) * (rows - 1))
        if last is not None:
            _join(last, (x, y), touch)
        touch(x, y)
        last = (x, y)
    return list(spans.items())


def _join(start: tuple[int, int], end: tuple[int, int], touch: Callable[[int, int], None]) -> None:
    """Touch, in every column between two dots, the dots that the straight line covers."""
    (x0, y0), (x1, y1) = start, end
    if x0 == x1:
        return
    slope = (y1 - y0) / (x1 - x0)
    # A flat stretch is one dot thin; only a steep one spans several dots of a column.
    reach = 0.5 if abs(slope) > 1 else 0.0
    for x in range(x0, x1 + 1):
        touch(x, round(y0 + slope * (max(x - reach, x0) - x0)))
        touch(x, round(y0 + slope * (min(x + reach, x1) - x0)))


def _merge(cells: Sequence[Cell]) -> Line:
    """Merge neighbouring cells of one role into spans."""
    spans: list[Span] = []
    for text, role in cells:
        if spans and spans[-1].role == role:
            spans[-1] = Span(spans[-1].text + text, role)
        else:
            spans.append(Span(text, role))
    return tuple(spans)


def _x_axis(plot: Plot, columns: int) -> Line:
    """The axis with its numbers set into it: `0─────10─────20 epoch`."""
    cells = ["0", *["─"] * (columns - 1)]
    step = nice_step(plot.x_end, max(2, min(10, columns // 9)))
    if plot.x_end >= 1:
        step = max(1.0, step)
    ticks = [step * at for at in range(1, int(plot.x_end / step + 1e-9) + 1)]
    for tick in ticks:
        text = f"{tick:.4g}"
        if tick == ticks[-1]:
            text = f"{text} {plot.x_name}" if tick < plot.x_end else f"{plot.x_name} {text}"
        place = int(tick / plot.x_end * (columns - 1)) - len(f"{tick:.4g}") // 2
        place = max(2, min(columns - len(text), place))
        if tick == ticks[-1] and tick >= plot.x_end:
            place = columns - len(text)
        cells[place : place + len(text)] = text
    spans = [(character, "line" if character == "─" else "muted") for character in cells[:columns]]
    return (Span(" " * AXIS_WIDTH), Span("╰", "line"), *_merge(spans))
