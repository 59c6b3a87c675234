"""The two lines at the bottom: where in the run one looks, and which keys mean something now."""

from collections.abc import Sequence

from darts_tui.console.event_text import note
from darts_tui.dashboard.panels.bar import Bar
from darts_tui.dashboard.panels.events import note_line
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.lines import Line, Span, fit, width_of

BACK = "on-panel"


class Ticker(Bar):
    """A scrub bar over the epochs or, where lines are few, the newest event."""

    def show(self, view: View, *, prefer_scrub: bool) -> None:
        """Say it for this look at the run."""
        width = self.size.width
        if view.epoch is not None or (prefer_scrub and view.state.epoch > 1):
            self.show_lines([scrub_line(view, width)])
        else:
            self.show_lines([_newest(view, width)])


class Footer(Bar):
    """Keys, the most useful first; a click presses them."""

    def show(self, view: View) -> None:
        """Say it for this look at the run."""
        self.show_lines([keys_line(_keys(view), self.size.width)])


def scrub_line(view: View, width: int) -> Line:
    """`epoch 1 ├────●────┤ 23`, and how to get back to now."""
    newest = max(1, view.state.epoch)
    digits = len(str(max(newest, view.state.total_epochs)))
    if view.epoch is None:
        right: Line = (Span("live ", "success"),)
    else:
        text = f"epoch {view.epoch:>{digits}} of {newest}, "
        right = (Span(text, "warning bold"), Span("0", "bold", "app.live"), Span(" live ", "muted"))
    left: Line = (Span(" [ ] ", "bold"), Span("epoch 1 ", "muted"))
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
        told = note(event)
        if told:
            return fit((Span(" "), *note_line(told, event.t)), width)
    return fit((), width)


def _keys(view: View) -> list[tuple[str, str, str]]:
    """(key, word, action), the most useful first."""
    steering = [
        ("p", "Resume" if view.live == "paused" else "Pause", "app.pause"),
        ("c", "Checkpoint", "app.checkpoint"),
        ("x", "Stop", "app.stop"),
    ]
    looking = [("e", "Export", "app.export"), ("[ ]", "Scrub", "app.scrub(-1)")]
    cells = view.state.started.cells if view.state.started else None
    if not view.is_training and (cells is None or len(cells) > 1):
        looking.append(("n", "Cell", "app.next_cell"))
    more = [("s", "Smooth", "app.smooth"), ("y", "Log scale", "app.log_scale")]
    more += [("t", "Theme", "app.next_theme"), (":", "Palette", "app.command_palette")]
    ending = [("?", "Help", "app.help"), ("q", "Detach", "app.detach")]
    if view.is_over:
        steering, ending[1] = [], ("q", "Quit", "app.detach")
    return [*steering, *looking, *more, *ending]


def keys_line(keys: Sequence[tuple[str, str, str]], width: int) -> Line:
    """As many keys as fit: the last two (help, detach) always, the others in their order."""
    kept = list(keys)
    while len(kept) > 2 and sum(len(key) + len(word) + 3 for key, word, _ in kept) + 1 > width:
        kept.pop(-3)
    out: list[Span] = [Span(" ", BACK)]
    for key, word, action in kept:
        out.append(Span(key, f"accent bold {BACK}", action))
        out.append(Span(f" {word}  ", f"muted {BACK}", action))
    return fit(out, width, BACK)
