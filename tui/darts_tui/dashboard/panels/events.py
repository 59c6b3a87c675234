"""The events that have a note, one line each, the newest last."""

import time
from typing import ClassVar

from darts_engine.run.events import AnyEvent
from darts_tui.console.event_text import Note, note
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.lines import Line, Span

LEVEL_ROLES = {"info": "", "warning": "warning", "error": "error"}
TAG_ROLES = {
    "save": "success",
    "done": "success",
    "cells": "accent",
    "cmd": "primary",
    "pause": "primary",
    "go": "primary",
    "stop": "primary",
    "warn": "warning",
    "fail": "error",
}


def note_line(note: Note, t: float) -> Line:
    """A note as a line: local time of `t` (Unix seconds), tag, text."""
    clock = time.strftime("%H:%M:%S", time.localtime(t))
    return (
        Span(f"{clock}  ", "muted"),
        Span(clean(note.tag, 7).ljust(8), TAG_ROLES.get(note.tag, "muted")),
        Span(clean(note.text), LEVEL_ROLES[note.level]),
    )


def event_line(event: AnyEvent) -> Line | None:
    """An event as a line, or None if only other panels show it."""
    worded = note(event)
    return note_line(worded, event.t) if worded else None


class EventsPanel(Panel):
    """The run's notes; shows the newest until the user scrolls back."""

    TITLE: ClassVar[str] = "Events"
    FOLLOWS_END: ClassVar[bool] = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._made: dict[tuple[int, float], Line | None] = {}

    def content(self, view: View, width: int, height: int) -> Content:
        """All notes that the fold keeps; a line is made once for each."""
        del width, height
        rows: list[Line] = []
        made: dict[tuple[int, float], Line | None] = {}
        for event in view.state.notes:
            key = (event.seq, event.t)
            line = made[key] = self._made[key] if key in self._made else event_line(event)
            if line is not None:
                rows.append(line)
        self._made = made
        status: Line = ()
        if view.damaged:
            status = (Span(f"{view.damaged} damaged lines skipped", "warning"),)
        return Content(rows or [(Span("no events yet", "muted"),)], status=status)
