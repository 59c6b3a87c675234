"""Scheduled quantities as small curves with a mark at the current epoch, and constant settings."""

import textwrap
from typing import Any, ClassVar

import msgspec

from darts_engine.run.events import ScheduleSpan
from darts_engine.run.state import AVERAGING
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.curve import trace
from darts_tui.dashboard.widgets.figures import short_number
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span

VALUE = 9


class SchedulesPanel(Panel):
    """Learning rates, drop path and the method's other schedules."""

    TITLE: ClassVar[str] = "Schedules"

    def content(self, view: View, width: int, height: int) -> Content:
        """One to nine rows for each schedule, as many as fit, then the constants."""
        spans = [_as_it_went(view, span) for span in _planned(view)]
        if not spans:
            return Content([(Span("this run has no schedules", "muted"),)])
        label = min(12, max(len(clean(span.label or span.name)) for span in spans) + 2)
        config = view.state.started.config if view.state.started else {}
        constants = [*_unplanned(view), *_constants(config, is_text=view.is_text)]
        below = _wrapped(constants, width)[: max(0, height - 2 * len(spans))]
        each = max(1, min(9, (height - len(below)) // len(spans)))
        gap = 1 if each > 3 else 0
        rows: list[Line] = []
        for number, span in enumerate(spans):
            rows += self._rows(view, span, f"series-{number}", width, each - gap, label)
            rows += [EMPTY] * gap
        rows += [(Span(line, "muted"),) for line in below]
        status = (Span("│", "warning"), Span(f" now, epoch {view.at_epoch}", "muted"))
        return Content(rows, status=status)

    def _rows(
        self, view: View, span: ScheduleSpan, role: str, width: int, tall: int, label: int
    ) -> list[Line]:
        now = max(0, min(len(span.values) - 1, view.at_epoch - 1))
        value: float | None = span.values[now] if span.values else None
        if view.epoch is None:
            value = view.state.schedules.get(span.name, value)
        last = span.values[-1] if span.values else None
        wide = max(8, width - label - VALUE)
        drawn = trace(span.values, wide, tall, role, view.glyphs, cursor=now)
        name = clean(span.label or span.name, label - 1).ljust(label)
        end = f"→ {short_number(last).strip()}".rjust(VALUE)
        rows: list[Line] = []
        for y, line in enumerate(drawn):
            text = (
                Span(short_number(value, VALUE)) if y == 0 else Span(end if y == 1 else "", "muted")
            )
            rows.append((Span(name if y == 0 else " " * label, "muted"), *line, text))
        return rows


def _planned(view: View) -> list[ScheduleSpan]:
    """The run's schedules; no path is dropped in a network that reads text."""
    spans = view.state.started.schedules if view.state.started else []
    return [span for span in spans if not (view.is_text and span.name == "drop_path")]


def _as_it_went(view: View, span: ScheduleSpan) -> ScheduleSpan:
    """The schedule; that of averaging, which nobody can plan, with the epochs since the switch."""
    first = view.state.averaging_from
    if span.name != AVERAGING or first is None:
        return span
    values = [float(epoch >= first) for epoch in range(1, len(span.values) + 1)]
    return msgspec.structs.replace(span, values=values)


def _unplanned(view: View) -> list[str]:
    """What an epoch of text has beside the planned schedules."""
    now, known = view.state.schedules, {span.name for span in _planned(view)}
    config = view.state.started.config if view.state.started else {}
    out = []
    if view.is_text and "length" not in known:
        out.append(f"length {now.get('length') or _number(config, 'text', 'bptt'):g} tokens")
    if AVERAGING in now and AVERAGING not in known:
        first = view.state.averaging_from
        out.append("not averaged yet" if first is None else f"averaged from epoch {first}")
    return out


def _wrapped(words: list[str], width: int) -> list[str]:
    """Join with commas; a line ends only between two items."""
    together = ", ".join(word.replace(" ", "\xa0") for word in words)
    lines = textwrap.wrap(together, max(8, width), break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]


def _constants(config: dict[str, Any], *, is_text: bool) -> list[str]:
    """The settings that are on and the same in every epoch."""
    out = []
    if (side := _number(config, "data", "cutout")) and not is_text:
        stochastic = _number(config, "data", "cutout_prob")
        out.append(f"cutout {side:g} px" + (f" p {stochastic:g}" if stochastic < 1 else ""))
    if warmup := _number(config, "weights", "warmup"):
        out.append(f"warm-up {warmup * _number(config, 'train', 'epochs'):g} epochs")
    if smoothing := _number(config, "train", "label_smoothing"):
        out.append(f"smoothing {smoothing:g}")
    if rho := _number(config, "weights", "sam_rho"):
        out.append(f"SAM rho {rho:g}")
    if decay := _number(config, "weights", "ema"):
        out.append(f"EMA {decay:g}")
    return out


def _number(config: dict[str, Any], section: str, field: str) -> float:
    table = config.get(section)
    value = table.get(field) if isinstance(table, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0
