"""Notices about an engine that starts, has ended, has died or hangs."""

from darts_engine.run import events
from darts_tui.console.event_text import human_seconds
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span, wrapped

TAIL_LINES = 3
NOTICED = ("dead", "failed", "stalled", "stopped", "unreadable")


class NoticePanel(Panel):
    """A few lines above the panels: what happened, and the command to go on."""

    TITLE = "Engine"

    def wanted_height(self, view: View, width: int) -> int:
        """The rows of the notice with its frame, which is `width` cells wide."""
        return len(_notice(view, width - 4)) + 2

    def content(self, view: View, width: int, height: int) -> Content:
        """What happened, the remedy, and the end of engine.log."""
        del height
        return Content(_notice(view, width))


class StartingPanel(Panel):
    """The panel before the first event: the download, or the end of engine.log."""

    TITLE = "Engine"

    def content(self, view: View, width: int, height: int) -> Content:
        """The progress of a download, or that the engine starts; then its last output."""
        if view.live in NOTICED:
            rows = _notice(view, width)
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
    if view.state.is_imported:
        return (Span("It was imported from a log: nothing goes on with it.", "muted"),)
    return (
        Span("Go on with  ", "muted"),
        Span(f"darts-tui resume {clean(view.name)}", "accent bold"),
    )


def _notice(view: View, width: int) -> list[Line]:
    """What happened and what to do, in whole sentences, then the end of engine.log."""
    rows = [row for line, indent in _sentences(view) for row in wrapped(line, width, indent)]
    has_tail = view.live in ("dead", "stalled") or (view.live == "failed" and view.state.failure)
    return rows + [_tail_line(line) for line in view.engine_tail[-TAIL_LINES:] if has_tail]


def _sentences(view: View) -> list[tuple[Line, int]]:
    """Lines, each with how far its later rows are indented."""
    state = view.state
    where = f"epoch {state.epoch}, step {state.step}"
    if view.live == "failed" and state.failure:
        message = [clean(line) for line in state.failure.message.splitlines()[:3]]
        return [*_reasons("Failed: ", message), (_resume(view), 0)]
    if view.live == "dead":
        what = "The engine is gone without a word (killed, or the machine went down)"
        since = Span(f", last heard at {where}.")
        return [((Span(what, "error bold"), since), 0), (_resume(view), 0)]
    if view.live == "stalled":
        age = human_seconds(view.heartbeat_s or 0.0)
        what = f"The engine's process is there but has said nothing for {age}"
        hint = "It may be stopped (ctrl+z, SIGSTOP), swapping, or waiting for a disk."
        return [
            ((Span(what, "warning bold"), Span(f", {where}.")), 0),
            ((Span(hint, "muted"),), 0),
        ]
    if view.live == "unreadable":
        return _reasons("Refused: ", [clean(line) for line in view.problem])
    if view.live == "stopped":
        return [((Span("Stopped", "bold"), Span(f" at {where}.  "), *_resume(view)), 0)]
    return []


def _reasons(word: str, reasons: list[str]) -> list[tuple[Line, int]]:
    """What happened after the word for it; where, and what to do next, below."""
    first, *rest = reasons or [""]
    indent = len(word)
    what: Line = (Span(word, "error bold"), Span(first))
    return [(what, indent)] + [((Span(" " * indent), Span(line, "muted")), indent) for line in rest]
