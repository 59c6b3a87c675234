"""Numbers, bars and sparklines of fixed width, so that nothing moves when a value changes."""

import itertools
import math
from collections.abc import Sequence

from darts_tui.dashboard.widgets.lines import Line, Span

# Without the full block, so that rows of sparklines do not touch.
_BLOCKS = "▁▂▃▄▅▆▇"


def short_number(value: float | None, width: int = 6) -> str:
    """A number in at most `width` cells, right-aligned: "0.0173", "4.1e-3", "98.5", "12.4k"."""
    if value is None or not math.isfinite(value):
        return "–".rjust(width)
    size = abs(value)
    if size == 0:
        text = "0"
    elif size < 0.001:
        digits, _, exponent = f"{value:.1e}".partition("e")
        text = f"{digits}e{int(exponent)}"
    elif size < 1:
        text = f"{value:.4f}"
    elif size < 100:
        text = f"{value:.2f}"
    elif size < 10_000:
        text = f"{value:.0f}"
    else:
        text = next(
            f"{value / scale:.3g}{unit}"
            for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k"))
            if size >= scale
        )
    return text.rjust(width)


def bar(fraction: float, width: int, role: str = "accent") -> Line:
    """A thin bar, filled from the left."""
    filled = max(0, min(width, round(fraction * width)))
    return (Span("━" * filled, role), Span("─" * (width - filled), "line"))


def sparkline(values: Sequence[float], width: int, role: str = "series-1") -> Line:
    """The values as blocks; more values than cells are averaged, a constant stays low."""
    if not values or width < 1:
        return (Span(" " * max(0, width)),)
    shown = _buckets(values, width)
    low, high = min(shown), max(shown)
    span = high - low
    steps = [0 if span <= 0 else round((v - low) / span * (len(_BLOCKS) - 1)) for v in shown]
    text = "".join(_BLOCKS[step] for step in steps)
    return (Span(text, role), Span(" " * (width - len(text))))


def _buckets(values: Sequence[float], width: int) -> list[float]:
    if len(values) <= width:
        return list(values)
    edges = [round(at * len(values) / width) for at in range(width + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that divides `span` at most `most` times."""
    rough = span / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.9999)
