"""The two lines at the bottom: the ticker and the keys."""

from darts_tui.dashboard import actions
from darts_tui.dashboard.actions import Action
from darts_tui.dashboard.panels.bar import Bar
from darts_tui.dashboard.panels.events import event_line
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.lines import Line, Span, fit, width_of

BACK = "on-panel"
# The most useful first; the last two are always there.
KEYS = (
    actions.PAUSE,
    actions.CHECKPOINT,
    actions.STOP,
    actions.EXPORT,
    actions.SCRUB,
    actions.NEXT_CELL,
    actions.SMOOTH,
    actions.LOG_SCALE,
    actions.NEXT_THEME,
    actions.PALETTE,
    actions.HELP,
    actions.DETACH,
)


class Ticker(Bar):
    """A scrub bar over the epochs, or the newest event where no panel shows it."""

    def show(self, view: View, *, prefer_scrub: bool) -> None:
        """Show the run."""
        width = self.size.width
        if view.epoch is not None or (prefer_scrub and view.state.epoch > 1):
            self.show_lines([scrub_line(view, width)])
        else:
            self.show_lines([_newest(view, width)])


class Footer(Bar):
    """Keys, the most useful first; a click runs their action."""

    def show(self, view: View) -> None:
        """Show the run."""
        self.show_lines([keys_line(view, self.size.width)])


def scrub_line(view: View, width: int) -> Line:
    """`epoch 1 ├────●────┤ 23`, and the key for the newest epoch."""
    newest = max(1, view.state.epoch)
    digits = len(str(max(newest, view.state.total_epochs)))
    if view.epoch is None:
        right: Line = (Span("live ", "success"),)
    else:
        text = f"epoch {view.epoch:>{digits}} of {newest}, "
        right = (
            Span(text, "warning bold"),
            Span(actions.LIVE.key, "bold", f"app.{actions.LIVE.call}"),
            Span(" live ", "muted"),
        )
    left: Line = (Span(f" {actions.SCRUB.key} ", "bold"), Span("epoch 1 ", "muted"))
    end: Line = (Span(f" {newest:>{digits}}  ", "muted"),)
    room = max(4, width - width_of(left) - width_of(right) - width_of(end) - 2)
    place = round((view.at_epoch - 1) / max(1, newest - 1) * (room - 1))
    role = "success" if view.epoch is None else "warning"
    track = (
        Span("├", "line"),
        Span("━" * place, "accent"),
        Span("●", role),
        Span("─" * (room - 1 - place), "line"),
        Span("┤", "line"),
    )
    return fit((*left, *track, *end, *right), width)


def _newest(view: View, width: int) -> Line:
    for event in reversed(view.state.notes):
        if line := event_line(event):
            return fit((Span(" "), *line), width)
    return fit((), width)


def keys_line(view: View, width: int) -> Line:
    """As many keys as fit: help and detach always, the others in the order of `KEYS`."""
    kept = [(a.key, _word(a, view), f"app.{a.call}") for a in KEYS if a.applies(view)]
    while len(kept) > 2 and sum(len(key) + len(word) + 3 for key, word, _ in kept) + 1 > width:
        kept.pop(-3)
    out: list[Span] = [Span(" ", BACK)]
    for key, word, call in kept:
        out.append(Span(key, f"accent bold {BACK}", call))
        out.append(Span(f" {word}  ", f"muted {BACK}", call))
    return fit(out, width, BACK)


def _word(action: Action, view: View) -> str:
    """The action's word; "Resume" and "Quit" depend on the run's state."""
    if action is actions.PAUSE and view.live == "paused":
        return "Resume"
    if action is actions.DETACH and view.is_over:
        return "Quit"
    return action.word
