"""The frame of all panels: title, scrolling, and the message of a panel that fails."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Event, MouseScrollDown, MouseScrollUp, Resize

from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.lines import EMPTY, Line, LinesView, Span, fit, harmless, width_of

log = logging.getLogger(__name__)

# A frame of fewer columns or rows has nothing inside.
NARROWEST, LOWEST = 6, 3


@dataclass(frozen=True)
class Content:
    """The content of a panel: `rows` scroll between `head` and `foot`; `status` is in the frame."""

    rows: Sequence[Line]
    head: Sequence[Line] = ()
    foot: Sequence[Line] = ()
    title: Line = EMPTY
    status: Line = EMPTY


class Panel(LinesView, can_focus=True):
    """A frame with lines about one aspect of a run.

    A subclass defines `TITLE` and `content`. If `content` raises, returns what cannot be drawn, or
    a handler of the panel raises, the panel shows the error in one line, the traceback goes to the
    log file, and other panels are not affected.
    """

    TITLE: ClassVar[str] = ""
    FOLLOWS_END: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_rows(-1)", show=False),
        Binding("down,j", "scroll_rows(1)", show=False),
        Binding("pageup", "scroll_rows(-10)", show=False),
        Binding("pagedown", "scroll_rows(10)", show=False),
        Binding("home", "scroll_rows(-1000000)", show=False),
        Binding("end", "scroll_rows(1000000)", show=False),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._view: View | None = None
        self._top = 0
        self._follow = self.FOLLOWS_END
        self._most = 0
        self._failed = False

    @abstractmethod
    def content(self, view: View, width: int, height: int) -> Content:
        """The content for `width` x `height` cells inside the frame."""

    def show(self, view: View) -> None:
        """Show the run."""
        self._view = view
        self._rebuild()

    def on_resize(self, event: Resize) -> None:
        """Lay out again for the new size."""
        del event
        self._rebuild()

    def watch_has_focus(self, focused: bool) -> None:
        """Mark in the frame that the arrow keys scroll this panel."""
        super().watch_has_focus(focused)
        self._rebuild()

    def action_scroll_rows(self, rows: int) -> None:
        """Scroll. A panel that follows its end follows it again when scrolled to it."""
        self._top = max(0, min(self._most, self._top + rows))
        self._follow = self.FOLLOWS_END and self._top >= self._most
        self._rebuild()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Scroll with the wheel."""
        event.stop()
        self.action_scroll_rows(3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Scroll with the wheel."""
        event.stop()
        self.action_scroll_rows(-3)

    def _rebuild(self) -> None:
        width, height = self.size
        if self._view is None or width < NARROWEST or height < LOWEST:
            return
        try:
            content = self.content(self._view, width - 4, height - 2)
            lines = self._framed(content, width, height)
            self.check(lines)
            self._failed = False
        # A panel that wants to end the program may not.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._fail(error)
        else:
            self.show_lines(lines)

    async def on_event(self, event: Event) -> None:
        """Handle an event; Textual would end the app if a handler raises."""
        try:
            await super().on_event(event)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failed:
            log.error("panel %s failed", type(self).__name__, exc_info=error)
        self._failed = True
        try:
            why = clean(error, 200)
        except Exception:  # noqa: BLE001  of an error that cannot even be printed
            why = ""
        line = (Span("this panel failed: ", "error"), Span(f"{type(error).__name__}: {why}"))
        width, height = self.size
        if width >= NARROWEST and height >= LOWEST:
            self.show_lines(self._framed(Content([line]), width, height))

    def _framed(self, content: Content, width: int, height: int) -> list[Line]:
        edge = "accent" if self.has_focus else "line"
        inner = width - 4
        room = max(0, height - 2 - len(content.head) - len(content.foot))
        self._most = max(0, len(content.rows) - room)
        self._top = self._most if self._follow else min(self._top, self._most)
        rows = list(content.rows[self._top : self._top + room])
        rows += [EMPTY] * (room - len(rows))
        status = content.status
        below = len(content.rows) - room - self._top
        if room and below > 0 and not self.FOLLOWS_END:
            status = (Span(f"↓ {below} more", "muted"),)
        elif self.FOLLOWS_END and not self._follow:
            status = (Span(f"↓ {below} newer, end follows", "muted"),)
        side = Span("│", edge)
        body = [
            (side, Span(" "), *fit(line, inner), Span(" "), side)
            for line in [*content.head, *rows, *content.foot][: height - 2]
        ]
        bottom = (Span("╰" + "─" * (width - 2) + "╯", edge),)
        return [_top_edge(self.TITLE, content.title, status, width, edge), *body, bottom]


def _top_edge(title: str, details: Line, status: Line, width: int, edge: str) -> Line:
    """`╭─ Title  details ───── status ─╮`; if too narrow, without status, then with cut details."""
    details, status = harmless(details), harmless(status)
    left: Line = (Span("╭─ ", edge),)
    if title:
        left = (*left, Span(title + ("  " if details else ""), "bold"))
    left = (*left, *details)
    right: Line = (Span(" ", edge), *status, Span(" ─╮", edge)) if status else (Span("─╮", edge),)
    if width_of(left) + width_of(right) + 2 > width:
        right = (Span("─╮", edge),)
        left = fit(left, min(width_of(left), width - 4))
    fill = width - width_of(left) - width_of(right) - 1
    return (*left, Span(" ", edge), Span("─" * fill, edge), *right)
