"""What happened, one line each, the newest last."""

import time
from typing import ClassVar

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


def note_line(told: Note, t: float) -> Line:
    """One note as a line: local time, tag, text."""
    clock = time.strftime("%H:%M:%S", time.localtime(t))
    return (
        Span(f"{clock}  ", "muted"),
        Span(clean(told.tag, 7).ljust(8), TAG_ROLES.get(told.tag, "muted")),
        Span(clean(told.text), LEVEL_ROLES[told.level]),
    )


class EventsPanel(Panel):
    """The notes of the run; follows the end until scrolled away from it."""

    TITLE: ClassVar[str] = "Events"
    FOLLOWS_END: ClassVar[bool] = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._made: dict[tuple[int, float], Line | None] = {}

    def content(self, view: View, width: int, height: int) -> Content:
        """All notes the fold keeps; each is worded once."""
        del width, height
        rows: list[Line] = []
        made: dict[tuple[int, float], Line | None] = {}
        for event in view.state.notes:
            key = (event.seq, event.t)
            if key in self._made:
                line = self._made[key]
            else:
                told = note(event)
                line = note_line(told, event.t) if told else None
            made[key] = line
            if line is not None:
                rows.append(line)
        self._made = made
        status: Line = ()
        if view.damaged:
            status = (Span(f"{view.damaged} damaged lines skipped", "warning"),)
        return Content(rows or [(Span("nothing to tell yet", "muted"),)], status=status)
