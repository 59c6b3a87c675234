"""Notices about an engine that starts, has ended, has died or hangs."""

from darts_engine.run import events
from darts_tui.console.event_text import human_seconds
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span

TAIL_LINES = 3
NOTICED = ("dead", "failed", "stalled", "stopped", "unreadable")


class NoticePanel(Panel):
    """A few lines above the panels: what happened, and the command to go on."""

    TITLE = "Engine"

    def wanted_height(self, view: View) -> int:
        """The rows of the notice with its frame."""
        return len(_notice(view)) + 2

    def content(self, view: View, width: int, height: int) -> Content:
        """What happened, the remedy, and the end of engine.log."""
        del width, height
        return Content(_notice(view))


class StartingPanel(Panel):
    """The panel before the first event: the download, or the end of engine.log."""

    TITLE = "Engine"

    def content(self, view: View, width: int, height: int) -> Content:
        """The progress of a download, or that the engine starts; then its last output."""
        del width
        if view.live in NOTICED:
            rows = _notice(view)
        elif view.state.download:
            rows = [_download(view.state.download)]
        else:
            rows = [
                (Span("The engine is starting. ", "bold"), Span("Importing torch takes seconds.")),
            ]
        if view.live not in NOTICED:
            rows.append((Span("q leaves it alone: it goes on without a watcher.", "muted"),))
        room = max(0, height - len(rows) - 2)
        tail = [_tail_line(line) for line in view.engine_tail[-room:]] if room else []
        head: list[Line] = [EMPTY, (Span("engine.log", "muted"),)] if tail else []
        return Content([*rows, *head, *tail])


def _tail_line(line: str) -> Line:
    return (Span("  " + clean(line), "muted"),)


def _download(event: events.DownloadProgressed) -> Line:
    done, total = event.done_bytes / 1e6, event.total_bytes / 1e6
    percent = f" {done / total:.0%}" if total else ""
    return (
        Span("Fetching ", "bold"),
        Span(clean(event.file) + percent),
        Span(f"  {done:.0f} of {total:.0f} MB", "muted"),
    )


def _resume(view: View) -> Line:
    return (
        Span("Go on with  ", "muted"),
        Span(f"darts-tui resume {clean(view.name)}", "accent bold"),
    )


def _notice(view: View) -> list[Line]:
    state = view.state
    where = f"epoch {state.epoch}, step {state.step}"
    tail = [_tail_line(line) for line in view.engine_tail[-TAIL_LINES:]]
    if view.live == "failed" and state.failure:
        first, *more = [clean(line) for line in state.failure.message.splitlines()] or [""]
        rows: list[Line] = [(Span("Failed: ", "error bold"), Span(first))]
        rows += [(Span("        " + line, "muted"),) for line in more[:2]]
        return [*rows, _resume(view), *tail]
    if view.live == "dead":
        what = "The engine is gone without a word (killed, or the machine went down)"
        return [(Span(what, "error bold"), Span(f", last heard at {where}.")), _resume(view), *tail]
    if view.live == "stalled":
        age = human_seconds(view.heartbeat_s or 0.0)
        what = f"The engine's process is there but has said nothing for {age}"
        hint = "It may be stopped (ctrl+z, SIGSTOP), swapping, or waiting for a disk."
        return [(Span(what, "warning bold"), Span(f", {where}.")), (Span(hint, "muted"),), *tail]
    if view.live == "unreadable":
        what, *rest = [clean(line) for line in view.problem] or [""]
        why: list[Line] = [(Span("        " + line, "muted"),) for line in rest]
        return [(Span("Refused: ", "error bold"), Span(what)), *why]
    if view.live == "stopped":
        return [(Span("Stopped", "bold"), Span(f" at {where}.  "), *_resume(view))]
    return []
