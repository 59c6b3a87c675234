"""Loss, and accuracy or perplexity, over the epochs."""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from darts_tui.console.event_text import perplexity_text
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.curve import (
    Curve,
    Plot,
    draw,
    linear_axis,
    log_axis,
    perplexity_axis,
    smooth,
    x_end,
)
from darts_tui.dashboard.widgets.lines import Line, Span

TRAIN, VALID, BESIDE = "series-0", "series-1", "series-2"

# With five classes or fewer, top-5 accuracy is always 100 %.
TOP = 5
# The frame of fewer columns has no room for more than the best epoch.
ROOMY = 92


def valid_name(view: View) -> str:
    """The name of the second curve: "test" in a training with a test set, else "valid".

    Text has a part of its own for validation, also in a training.
    """
    started = view.state.started
    has_test = started is not None and "test" in started.images and "valid" not in started.images
    return "test" if view.is_training and has_test else "valid"


def has_top5(view: View) -> bool:
    """Whether to show top-5 accuracy: in a training with more than five classes."""
    started = view.state.started
    return view.is_training and started is not None and len(started.classes) > TOP


def _points(view: View, name: str) -> tuple[list[float], list[float]]:
    """The values of a field of `EpochFinished` over the epochs that have it."""
    pairs = [
        (float(done.epoch), value)
        for done in view.state.epochs
        if (value := getattr(done, name)) is not None
    ]
    return [x for x, _ in pairs], [y for _, y in pairs]


def _at(xs: Sequence[float], ys: Sequence[float], epoch: int | None) -> float | None:
    """The newest value, or that of the shown epoch."""
    if epoch is None:
        return ys[-1] if ys else None
    return next((y for x, y in zip(reversed(xs), reversed(ys), strict=True) if x <= epoch), None)


class _Series(NamedTuple):
    name: str
    role: str
    xs: Sequence[float]
    ys: Sequence[float]


def _with_third(series: list[_Series], third: _Series) -> list[_Series]:
    """The first two series, and the third if it has values."""
    return [*series, third] if third.ys else series


def _legend(view: View, series: Sequence[_Series], text_of: Callable[[float | None], str]) -> Line:
    """Each series with its value at the shown epoch."""
    spans: list[Span] = []
    gap = " " * (3 if len(series) < 3 else 2)
    for name, role, xs, ys in series:
        value = text_of(_at(xs, ys, view.epoch))
        spans += [Span("━ ", role), Span(f"{name} ", "muted"), Span(f"{value}{gap}", "")]
    return tuple(spans)


def _curves(view: View, series: Sequence[_Series]) -> list[Curve]:
    """The series as the user wants them smoothed; the third is drawn below the others."""
    return [
        Curve(xs, smooth(ys, view.smoothing) if view.smoothing else ys, role)
        for _, role, xs, ys in (*series[2:], *series[:2])
    ]


def _values(curves: Sequence[Curve]) -> list[float]:
    return [y for curve in curves for y in curve.ys]


class LossPanel(Panel):
    """Cross entropy of training steps, of each epoch's validation, and of the auxiliary head.

    With label smoothing, the frame has the KL divergence of the validation from its targets.
    """

    TITLE: ClassVar[str] = "Loss"

    def content(self, view: View, width: int, height: int) -> Content:
        """The curves, smoothed and scaled as the user has chosen."""
        state = view.state
        train_x = state.epochs_at(state.train_loss.x)
        series = [
            _Series("train", TRAIN, train_x, state.train_loss.y),
            _Series(valid_name(view), VALID, *_points(view, "valid_loss")),
        ]
        if not any(one.ys for one in series):
            return Content([(Span("waiting for the first steps", "muted"),)])
        # The auxiliary head's loss on the training images.
        auxiliary = _Series("aux", BESIDE, *_points(view, "auxiliary_loss"))
        series = _with_third(series, auxiliary)
        curves = _curves(view, series)
        values = _values(curves)
        low, high, ticks = (
            log_axis(values)
            if view.log_loss
            # The loss of text stays far from zero.
            else linear_axis(values if view.is_text else [0.0, *values], height - 1)
        )
        plot = Plot(
            curves,
            x_end(state.total_epochs, view.epochs_done),
            low,
            high,
            log=view.log_loss,
            division=averaging(view),
            cursor=view.epoch,
            glyphs=view.glyphs,
            ticks=ticks,
        )
        title = _legend(view, series, _loss_text)
        divergence = _at(*_points(view, "valid_divergence"), view.epoch)
        beside = "" if divergence is None else f"KL {divergence:.4f}"
        return Content(draw(plot, width, height), title=title, status=_options(view, beside))


class AccuracyPanel(Panel):
    """Accuracy after each epoch, the best one marked; in a training also top-5."""

    TITLE: ClassVar[str] = "Accuracy %"

    def content(self, view: View, width: int, height: int) -> Content:
        """The curves, and the best epoch in the frame."""
        state = view.state
        series = [
            _Series("train", TRAIN, *_points(view, "train_top1")),
            _Series(valid_name(view), VALID, *_points(view, "valid_top1")),
        ]
        if not any(one.ys for one in series):
            text = f"the first epoch is not over: step {state.step} of {state.steps}"
            return Content([(Span(text, "muted"),)])
        top5 = _points(view, "valid_top5") if has_top5(view) else ([], [])
        series = _with_third(series, _Series("top-5", BESIDE, *top5))
        curves = _curves(view, series)
        low, high, ticks = linear_axis([*_values(curves), 100.0], height - 1)
        best = state.best
        plot = Plot(
            curves,
            x_end(state.total_epochs, view.epochs_done),
            max(0.0, low),
            min(100.0, high),
            best=(best.epoch, best.valid_top1) if best and best.valid_top1 is not None else None,
            cursor=view.epoch,
            glyphs=view.glyphs,
            ticks=ticks,
        )
        status = _options(view)
        if best and best.valid_top1 is not None:
            epoch = f"{best.epoch}" if len(series) > 2 else f"epoch {best.epoch}"
            status = (Span("◆ ", "bold"), Span(f"best {best.valid_top1:.1f} at {epoch}", "muted"))
        title = _legend(view, series, _percent_text)
        return Content(draw(plot, width, height), title=title, status=status)


class PerplexityPanel(Panel):
    """Perplexity after each epoch on a logarithmic axis, the best one marked; lower is better."""

    TITLE: ClassVar[str] = "Perplexity"

    def content(self, view: View, width: int, height: int) -> Content:
        """The curves, where a training began to average its weights, and the best epoch."""
        state = view.state
        series = [
            _Series("train", TRAIN, *_points(view, "train_perplexity")),
            _Series(valid_name(view), VALID, *_points(view, "valid_perplexity")),
        ]
        if not any(one.ys for one in series):
            text = f"the first epoch is not over: step {state.step} of {state.steps}"
            return Content([(Span(text, "muted"),)])
        curves = _curves(view, series)
        low, high, ticks = perplexity_axis(_values(curves), height - 1)
        best = state.best
        shown = best.valid_perplexity if best else None
        plot = Plot(
            curves,
            x_end(state.total_epochs, view.epochs_done),
            low,
            high,
            log=True,
            best=(best.epoch, shown) if best and shown is not None else None,
            division=averaging(view),
            cursor=view.epoch,
            glyphs=view.glyphs,
            ticks=ticks,
        )
        status = _options(view)
        if best and shown is not None:
            words = f"best {perplexity_text(shown)} at epoch {best.epoch}"
            status = (Span("◆ ", "bold"), Span(words, "muted"))
            if (start := averaging(view)) is not None and width >= ROOMY:
                since = Span(f"┊ averaged from {start + 1:.0f}   ", "muted")
                status = (since, *status)
        title = _legend(view, series, _perplexity_text)
        return Content(draw(plot, width, height), title=title, status=status)


def averaging(view: View) -> float | None:
    """Where a training began to average its weights, on the axis of epochs; None before."""
    first = view.state.averaging_from
    return None if first is None else float(first - 1)


def _perplexity_text(value: float | None) -> str:
    return "    –" if value is None else f"{perplexity_text(value):>5}"


def _loss_text(value: float | None) -> str:
    return "    –" if value is None else f"{value:5.3f}"


def _percent_text(value: float | None) -> str:
    return "   –" if value is None else f"{value:4.1f}"


def _options(view: View, beside: str = "") -> Line:
    parts = [beside] if beside else []
    parts += [f"smoothed {view.smoothing:g}"] if view.smoothing else []
    parts += ["log"] if view.log_loss else []
    return (Span(" · ".join(parts), "muted"),) if parts else ()
