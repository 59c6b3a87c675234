"""Signs that a search goes wrong: collapsing entropy, skips taking over, gradients exploding."""

import textwrap
from typing import ClassVar, NamedTuple

from darts_engine.run.events import HealthMeasured
from darts_tui.panels.panel import Content, Panel
from darts_tui.panels.view import View
from darts_tui.safe_text import clean
from darts_tui.widgets.curve import trace
from darts_tui.widgets.figures import short_number, sparkline
from darts_tui.widgets.lines import EMPTY, Line, Span, fit

LABEL, VALUE = 13, 12
# Rows that a training's checkpoints take.
CHECKPOINTS = 2
NORMS = (
    ("grad alpha", "alpha_grad_norm"),
    ("grad weights", "weight_grad_norm"),
    ("sharpness", "sharpness_gap"),
)


class HealthPanel(Panel):
    """One sparkline for each figure, and the newest alert."""

    TITLE: ClassVar[str] = "Health"

    def content(self, view: View, width: int, height: int) -> Content:
        """Figures of all epochs up to the one looked at."""
        measured = [h for h in view.state.health if h.epoch <= view.at_epoch]
        if not measured:
            return Content([(Span("measured at the end of each epoch", "muted"),)])
        wide = max(4, width - LABEL - VALUE)
        figures = [*_skips(measured), *_entropies(measured), *_norms(measured)]
        below = 3 + CHECKPOINTS * view.is_training
        tall = max(1, min(7, (height - below) // max(1, len(figures))))
        rows = [
            row
            for number, figure in enumerate(figures)
            for row in _rows(figure, wide, tall, f"series-{number}", view.glyphs)
        ]
        if view.is_training:
            rows += _checkpoints(view, width)
        alerts = [a for a in view.state.alerts if a.epoch <= view.at_epoch]
        if alerts and height - len(rows) > 0:
            rows += [EMPTY] if height - len(rows) > 1 else []
            words = textwrap.wrap(clean(alerts[-1].message, 400), max(8, width - 3))
            room = max(1, height - len(rows))
            if len(words) > room:
                words[room - 1] += "…"
            rows += [
                (Span("  " if at else "▲ ", "warning"), Span(line))
                for at, line in enumerate(words[:room])
            ]
        return Content(rows, status=_alert_count(len(alerts)))


class Figure(NamedTuple):
    """One quantity over the epochs, and what to say about its newest value."""

    label: str
    values: list[float]
    text: str
    role: str = ""


def _rows(figure: Figure, wide: int, tall: int, role: str, glyphs: str) -> list[Line]:
    """A sparkline, or a curve of several rows where there is room for one."""
    label = Span(figure.label.ljust(LABEL)[:LABEL], "muted")
    text = Span(figure.text.rjust(VALUE), figure.role)
    if tall < 3 or len(figure.values) < 2:
        return [(label, *sparkline(figure.values, wide), text)]
    drawn = trace(figure.values, wide, tall - 1, role, glyphs)
    lows, highs = min(figure.values), max(figure.values)
    ends = {0: f"max {short_number(highs).strip()}", tall - 2: f"min {short_number(lows).strip()}"}
    rows: list[Line] = []
    for y, line in enumerate(drawn):
        name = label if y == 0 else Span(ends.get(y, "").ljust(LABEL), "muted")
        rows.append((name, *line, text if y == 0 else Span("")))
    return [*rows, EMPTY]


def _skips(measured: list[HealthMeasured]) -> list[Figure]:
    out = []
    for cell, count in measured[-1].skip_count.items():
        kept = measured[-1].kept_edges.get(cell, 0)
        values = [float(h.skip_count[cell]) for h in measured if cell in h.skip_count]
        many = 2 * count > kept
        text = f"{'▲ ' if many else ''}{count} of {kept}"
        out.append(Figure(f"skips {clean(cell)}", values, text, "warning" if many else ""))
    return out


def _entropies(measured: list[HealthMeasured]) -> list[Figure]:
    out = []
    for cell, value in measured[-1].entropy.items():
        values = [v for h in measured if (v := h.entropy.get(cell)) is not None]
        text = f"{value:.2f} nats" if value is not None else "–"
        out.append(Figure(f"H {clean(cell)}", values, text))
    return out


def _norms(measured: list[HealthMeasured]) -> list[Figure]:
    out = []
    for label, name in NORMS:
        values = [v for h in measured if (v := getattr(h, name)) is not None]
        if values:
            out.append(Figure(label, values, short_number(values[-1])))
    return out


def _checkpoints(view: View, width: int) -> list[Line]:
    """The best and the last checkpoint: what `evaluate` and a resume would take."""
    saved = [c for c in view.state.checkpoints if c.epoch <= view.at_epoch]
    best = [c for c in saved if c.reason == "best"]
    steps = view.state.started.steps_per_epoch if view.state.started else 0
    top1 = {done.epoch: done.valid_top1 for done in view.state.epochs}
    rows: list[Line] = []
    for label, found in (("best saved", best), ("last saved", saved)):
        if not found:
            continue
        newest = found[-1]
        score = top1.get(newest.epoch)
        text = f"epoch {newest.epoch}"
        if newest.step != steps:
            text += f", step {newest.step}"
        elif score is not None:
            text += f", {score:.1f} %"
        rows.append(fit((Span(label.ljust(LABEL), "muted"), Span(text)), width))
    return rows


def _alert_count(count: int) -> Line:
    if not count:
        return (Span("no alerts", "muted"),)
    return (Span(f"▲ {count} alert{'s' if count > 1 else ''}", "warning"),)
