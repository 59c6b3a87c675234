"""The two lines at the top: the run and its progress, and the tabs."""

from collections.abc import Sequence
from typing import NamedTuple

from darts_engine.run.architecture.networks import wide_in
from darts_engine.run.settings.recipes import named_in
from darts_tui.console.event_text import human_seconds
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.actions import Action
from darts_tui.dashboard.panels.bar import Bar
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.figures import bar
from darts_tui.dashboard.widgets.lines import Line, Span, fit, width_of

BADGES = {
    "starting": "badge-primary",
    "running": "badge-success",
    "paused": "badge-warning",
    "stopping": "badge-warning",
    "finished": "badge-primary",
    "stopped": "badge-muted",
    "failed": "badge-error",
    "dead": "badge-error",
    "stalled": "badge-error",
    "unreadable": "badge-error",
}
QUIET_HEARTBEAT_S = 5.0
BACK = "on-panel"
# The progress bar's rank among the pieces; its line is made last, from the remaining width.
BAR_RANK = 3
NARROWEST_BAR = 10


class Piece(NamedTuple):
    """A part of the first line; if the line is too narrow, the highest `rank` is left out first."""

    rank: int
    line: Line


class Header(Bar):
    """Name, state, progress and time left."""

    def show(self, view: View) -> None:
        """Show the run."""
        self.show_lines([header_line(view, self.size.width)])


class Tabs(Bar):
    """The tabs; a click switches to one."""

    def show(self, tabs: Sequence[Action], current: str) -> None:
        """Show these tabs; `current` is the name of the open one."""
        self.show_lines([tabs_line(tabs, current, self.size.width)])


def header_line(view: View, width: int) -> Line:
    """The most important pieces that fit; the progress bar fills the remaining width."""
    pieces = _pieces(view)
    while len(pieces) > 1 and sum(_least(piece) for piece in pieces) > width:
        pieces.remove(max(pieces, key=lambda piece: piece.rank))
    room = width - sum(width_of(piece.line) for piece in pieces) - 3
    out: list[Span] = []
    for piece in pieces:
        if piece.rank == BAR_RANK and room >= 6:
            size = min(room, 48)
            out += [*_on_panel(bar(view.state.progress, size)), Span("  ", BACK)]
        out += piece.line
    return fit(out, width, BACK)


def _least(piece: Piece) -> int:
    return NARROWEST_BAR if piece.rank == BAR_RANK else width_of(piece.line)


def _on_panel(line: Line) -> Line:
    return tuple(span._replace(role=f"{span.role} {BACK}") for span in line)


def _pieces(view: View) -> list[Piece]:
    state, started = view.state, view.state.started
    pieces = [
        Piece(7, (Span(" ◆ darts-tui ", "badge-accent bold"),)),
        Piece(1, (Span(f" {clean(view.name, 32)} ", f"bold {BACK}"),)),
    ]
    if started:
        what = [started.kind, wide_in(started.config), started.method, started.dataset]
        if started.space and started.space != started.method:
            what.insert(3, f"{started.space} space")
        description = " · ".join(clean(word, 24) for word in what if word)
        pieces.append(Piece(8, (Span(f" {description}  ", f"muted {BACK}"),)))
        if recipe := clean(named_in(started.config), 24):
            pieces.append(Piece(9, (Span(f"by {recipe}  ", f"muted {BACK}"),)))
    word, role = (view.pending, "badge-warning") if view.pending else (view.live, BADGES[view.live])
    pieces.append(Piece(0, (Span(f" ● {word.upper()} ", f"{role} bold"),)))
    if not started:
        return pieces
    digits = len(str(started.epochs))
    epoch = f"  epoch {state.epoch:>{digits}}/{started.epochs} "
    pieces.append(Piece(0, (Span(epoch, f"bold {BACK}"),)))
    pieces.append(Piece(BAR_RANK, ()))
    steps = state.steps or started.steps_per_epoch
    step = f"step {state.step:>{len(str(steps))}}/{steps}  "
    pieces.append(Piece(5, (Span(step, f"muted {BACK}"),)))
    pieces.append(Piece(6, (Span(f"elapsed {human_seconds(view.elapsed_s)}  ", f"muted {BACK}"),)))
    if state.eta_s is not None and view.live in ("running", "paused"):
        eta = human_seconds(state.eta_s)
        pieces.append(Piece(2, (Span(" ETA ", f"muted {BACK}"), Span(f"{eta:>7} ", BACK))))
    if warning := _reading_or_quiet(view):
        pieces.append(Piece(4, warning))
    return pieces


def _reading_or_quiet(view: View) -> Line:
    """That the log is still being read, or that the heartbeat is late; else empty."""
    if view.loading:
        return (Span(f" log read {view.read:4.0%} ", f"primary {BACK}"),)
    age = view.heartbeat_s
    if age is not None and age > QUIET_HEARTBEAT_S and not view.is_over:
        return (Span(f" quiet for {human_seconds(age)} ", f"warning {BACK}"),)
    return ()


def tabs_line(tabs: Sequence[Action], current: str, width: int) -> Line:
    """The tabs with as much space around them as fits."""
    for pad, gap in (("  ", ""), (" ", ""), ("", " ")):
        out: list[Span] = [Span(" ", BACK)] if gap else []
        for tab in tabs:
            role = "badge-primary bold" if tab.name == current else f"muted {BACK}"
            out.append(Span(f"{pad}{tab.key} {tab.word}{pad}", role, f"app.{tab.call}"))
            if gap:
                out.append(Span(gap, BACK))
        if width_of(out) <= width:
            break
    return fit(out, width, BACK)
