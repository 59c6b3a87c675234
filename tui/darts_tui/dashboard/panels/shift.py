"""The mean-shift perturbation: the losses of its samples, and the shift of the weights."""

from typing import ClassVar

from darts_engine.run.events import MeanShifted
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.figure import Figure, figure_rows
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.figures import bar, short_number
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span

# Widths in a sample's row: its number and its loss.
NUMBER, LOSS = 11, 9
# With fewer rows, single samples are left out.
SAMPLES_FROM = 10


class ShiftPanel(Panel):
    """Sample losses of the last step; shift length, radius and bandwidth over the epochs."""

    TITLE: ClassVar[str] = "Mean shift"

    def content(self, view: View, width: int, height: int) -> Content:
        """Figures of all epochs up to the shown one, then that epoch's last samples."""
        shifts = [s for epoch, s in view.state.epoch_shifts.items() if epoch <= view.at_epoch]
        if not shifts:
            return Content([(Span("no shift yet", "muted"),)])
        last = shifts[-1]
        figures = _figures(shifts)
        samples = _samples(last, width) if height >= SAMPLES_FROM else []
        room = max(len(figures), height - len(samples))
        title = (Span(f"epoch {last.epoch}, step {last.step}", "muted"),)
        status = (Span(f"bandwidth {last.bandwidth:g}", "muted"),)
        rows = [*figure_rows(figures, width, room, view.glyphs), *samples]
        return Content(rows, title=title, status=status)


def _figures(shifts: list[MeanShifted]) -> list[Figure]:
    means = [sum(known) / len(known) for s in shifts if (known := _known(s))]
    spreads = [max(known) - min(known) for s in shifts if (known := _known(s))]
    out = [
        Figure("mean loss", means, f"{means[-1]:.3f} nats" if means else "–"),
        Figure("loss spread", spreads, f"{spreads[-1]:.3f} nats" if spreads else "–"),
    ]
    for cell in shifts[-1].shift:
        lengths = [length for s in shifts if (length := s.shift.get(cell)) is not None]
        out.append(
            Figure(
                f"shift {clean(cell, 12)}", lengths, short_number(lengths[-1]) if lengths else "–"
            )
        )
    out.append(Figure("radius", [s.radius for s in shifts], short_number(shifts[-1].radius)))
    return out


def _known(shift: MeanShifted) -> list[float]:
    return [loss for loss in shift.losses if loss is not None]


def _samples(shift: MeanShifted, width: int) -> list[Line]:
    """A bar per sample; the lowest loss has the shortest, the highest the longest."""
    known = _known(shift)
    low, high = min(known, default=0.0), max(known, default=1.0)
    wide = max(4, width - NUMBER - LOSS)
    rows: list[Line] = [EMPTY, (Span("samples of the last step, loss in nats", "muted"),)]
    for number, loss in enumerate(shift.losses, 1):
        label = Span(f"sample {number}".ljust(NUMBER), "muted")
        if loss is None:
            rows.append((label, Span(" " * wide), Span("–".rjust(LOSS), "warning")))
            continue
        share = (loss - low) / (high - low) if high > low else 1.0
        worst = "warning" if loss == high else ""
        rows.append(
            (label, *bar(0.05 + 0.95 * share, wide), Span(f"{loss:.4f}".rjust(LOSS), worst))
        )
    return rows
