"""Signs of a failing search: falling entropy, too many skip connections, a sharp minimum."""

import textwrap
from typing import ClassVar

from darts_engine.run.architecture.derivation import SKIP
from darts_engine.run.events import GapMeasured, HealthMeasured
from darts_tui.console.event_text import score_text
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.figure import LABEL, Figure, figure_rows
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.figures import short_number
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span, fit

# Rows that a training's checkpoints take.
CHECKPOINTS = 2
NORMS = (
    ("grad alpha", "alpha_grad_norm"),
    ("grad weights", "weight_grad_norm"),
    ("sharpness", "sharpness_gap"),
    ("hidden state", "hidden_norm"),
)


class HealthPanel(Panel):
    """A sparkline for each figure, and the newest alert."""

    TITLE: ClassVar[str] = "Health"

    def content(self, view: View, width: int, height: int) -> Content:
        """Figures of all epochs up to the shown one."""
        measured = [h for h in view.state.health if h.epoch <= view.at_epoch]
        if not measured:
            return Content([(Span("measured at the end of each epoch", "muted"),)])
        below = 3 + CHECKPOINTS * view.is_training
        figures = _chosen(view, measured, height, below)
        rows = figure_rows(figures, width, height - below, view.glyphs)
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


def _chosen(view: View, measured: list[HealthMeasured], height: int, below: int) -> list[Figure]:
    """The figures that fit, the most important first."""
    first = [*_skips(view, measured), *_entropies(measured), *_sharpness(measured), *_gaps(view)]
    norms, edges = _norms(measured), _edges(view)
    if len(first) + len(norms) > height:
        return first
    roomy = len(first) + len(edges) + len(norms) <= height - below
    return [*first, *(edges if roomy else []), *norms]


def _skips(view: View, measured: list[HealthMeasured]) -> list[Figure]:
    """Derived skip connections, in spaces that have them."""
    layouts = view.state.started.cells if view.state.started else []
    if layouts and not any(SKIP in layout.operations for layout in layouts):
        return []
    out = []
    for cell, count in measured[-1].skip_count.items():
        kept = measured[-1].kept_edges.get(cell, 0)
        values = [float(h.skip_count[cell]) for h in measured if cell in h.skip_count]
        many = 2 * count > kept
        text = f"{'▲ ' if many else ''}{count} of {kept}"
        out.append(Figure(f"skips {clean(cell, 12)}", values, text, "warning" if many else ""))
    return out


def _entropies(measured: list[HealthMeasured]) -> list[Figure]:
    out = []
    for cell, value in measured[-1].entropy.items():
        values = [v for h in measured if (v := h.entropy.get(cell)) is not None]
        text = f"{value:.2f} nats" if value is not None else "–"
        out.append(Figure(f"H {clean(cell, 12)}", values, text))
    return out


def _sharpness(measured: list[HealthMeasured]) -> list[Figure]:
    values = [h.eigenvalue for h in measured if h.eigenvalue is not None]
    return [Figure("eigenvalue", values, short_number(values[-1]))] if values else []


def _gaps(view: View) -> list[Figure]:
    """The discretisation gap, with the supernet's running statistics and with renewed ones."""
    measured = [g for g in view.state.gaps if g.epoch <= view.at_epoch]
    out = []
    for label, name in (("gap", "derived_top1"), ("gap, own BN", "renewed_top1")):
        values = [
            g.supernet_top1 - cut
            for g in measured
            if g.supernet_top1 is not None and (cut := getattr(g, name)) is not None
        ]
        if values:
            out.append(Figure(label, values, f"{values[-1]:.1f} points"))
    return out or _loss_gaps(measured)


def _loss_gaps(measured: list[GapMeasured]) -> list[Figure]:
    """The gap of a network that has no accuracy."""
    values = [
        g.derived_loss - g.supernet_loss
        for g in measured
        if g.supernet_loss is not None and g.derived_loss is not None
    ]
    return [Figure("gap", values, f"{values[-1]:.2f} nats")] if values else []


def _edges(view: View) -> list[Figure]:
    """The margin of the best operation, and the weight of the skip connections in percent."""
    measured = [f for f in view.state.edge_figures if f.epoch <= view.at_epoch]
    out = []
    for label, name, scale, form in (
        ("margin", "margin", 1, "{:.3f}"),
        ("skip", "skip_share", 100, "{:.1f} %"),
    ):
        cells = getattr(measured[-1], name) if measured else {}
        for cell in cells:
            values = [scale * v for f in measured if (v := getattr(f, name).get(cell)) is not None]
            out.append(Figure(f"{label} {clean(cell, 12)}", values, form.format(values[-1])))
    return out


def _norms(measured: list[HealthMeasured]) -> list[Figure]:
    out = []
    for label, name in NORMS:
        values = [v for h in measured if (v := getattr(h, name)) is not None]
        if values:
            out.append(Figure(label, values, short_number(values[-1])))
    return out


def _checkpoints(view: View, width: int) -> list[Line]:
    """The best checkpoint, which `evaluate` takes, and the last, which a resume takes."""
    saved = [c for c in view.state.checkpoints if c.epoch <= view.at_epoch]
    best = [c for c in saved if c.reason == "best"]
    ends = {done.epoch: done for done in view.state.epochs}
    rows: list[Line] = []
    for label, found in (("best saved", best), ("last saved", saved)):
        if not found:
            continue
        newest = found[-1]
        done = ends.get(newest.epoch)
        text = f"epoch {newest.epoch}"
        if done is None or done.global_step != newest.global_step:
            text += f", step {newest.step}"
        elif shown := score_text(done.valid_top1, done.valid_perplexity, 1):
            text += f", {shown}"
        rows.append(fit((Span(label.ljust(LABEL), "muted"), Span(text)), width))
    return rows


def _alert_count(count: int) -> Line:
    if not count:
        return (Span("no alerts", "muted"),)
    return (Span(f"▲ {count} alert{'s' if count > 1 else ''}", "warning"),)
