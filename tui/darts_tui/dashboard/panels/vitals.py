"""The most important figures in two lines, for terminals too small for their panels."""

from darts_engine.run.architecture.networks import wide_in
from darts_tui.console.event_text import human_bytes, score_text
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.bar import Bar
from darts_tui.dashboard.panels.curves import TRAIN, VALID, has_top5, valid_name
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.figures import short_number
from darts_tui.dashboard.widgets.lines import Line, Span, fit


class Vitals(Bar):
    """Losses and accuracies; schedules, health and speed."""

    def show(self, view: View) -> None:
        """Show the run."""
        width = self.size.width
        self.show_lines([fit(_scores(view), width), fit(_figures(view), width)])


def _scores(view: View) -> Line:
    done = [e for e in view.state.epochs if e.epoch <= view.at_epoch]
    if not done:
        return (Span(f" the first epoch is not over: step {view.state.step}", "muted"),)
    last, best = done[-1], view.state.best
    spans = [Span(" ")]
    for name, role, loss, top1, perplexity in (
        ("train", TRAIN, last.train_loss, last.train_top1, last.train_perplexity),
        (valid_name(view), VALID, last.valid_loss, last.valid_top1, last.valid_perplexity),
    ):
        loss_text = f"{loss:.3f}" if loss is not None else "–"
        top1_text = score_text(top1, perplexity, 1) or "–"
        spans += [Span(f"{name} ", role), Span(f"{loss_text}  {top1_text}   ")]
    if has_top5(view) and last.valid_top5 is not None:
        spans += [Span("top-5 ", "muted"), Span(f"{last.valid_top5:.1f} %   ")]
    if best and (shown := score_text(best.valid_top1, best.valid_perplexity, 1)):
        spans += [Span("best ", "muted"), Span(f"{shown} at {best.epoch}")]
    return tuple(spans)


def _figures(view: View) -> Line:
    state = view.state
    figures: list[tuple[str, str]] = []
    spans = state.started.schedules if state.started else []
    for span in spans[:2]:
        now = short_number(state.schedules.get(span.name)).strip()
        figures.append((clean(span.label, 10), now))
    health = [h for h in state.health if h.epoch <= view.at_epoch]
    if health and health[-1].entropy:
        values = [v for v in health[-1].entropy.values() if v is not None]
        figures.append(("H", " / ".join(f"{v:.2f}" for v in values)))
    if health and (gap := health[-1].sharpness_gap) is not None:
        figures.append(("sharpness", short_number(gap).strip()))
    if state.system:
        rate, unit = state.system.images_per_s, "img/s"
        if view.is_text:
            rate, unit = state.system.tokens_per_s, "tok/s"
        figures.append(("speed", f"{rate:.0f} {unit}" if rate is not None else "–"))
        figures.append(("mem", human_bytes(state.system.rss_bytes)))
    if view.is_text and state.averaging_from is not None:
        figures.append(("averaged from", str(state.averaging_from)))
    if view.is_training and state.checkpoints:
        figures.append(("saved", f"epoch {state.checkpoints[-1].epoch}"))
    if state.started and (network := wide_in(state.started.config)):
        figures.append(("", clean(network, 16)))
    out = [Span(" ")]
    for label, value in figures:
        out += [Span(f"{label} " if label else "", "muted"), Span(f"{value}   ")]
    return tuple(out)
