"""All runs of the folder this one lives in; enter watches another."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from darts_engine.run.folder import RunFolder
from darts_tui.console.event_text import human_seconds
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.header import BADGES
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.reader import Glance
from darts_tui.dashboard.widgets.lines import Line, Span

ROLES = {state: badge.removeprefix("badge-") for state, badge in BADGES.items()}


class RunsPanel(Panel):
    """A list with a cursor."""

    TITLE: ClassVar[str] = "Runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("enter", "open", show=False),
    ]

    class Chosen(Message):
        """The user wants to watch another run."""

        def __init__(self, folder: RunFolder) -> None:
            super().__init__()
            self.folder = folder

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._glances: list[Glance] | None = None
        self._cursor = 0

    def show_glances(self, glances: list[Glance]) -> None:
        """List these runs."""
        self._glances = glances
        self._cursor = min(self._cursor, max(0, len(glances) - 1))
        self._rebuild()

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        last = len(self._glances or []) - 1
        self._cursor = max(0, min(last, self._cursor + rows))
        self._rebuild()

    def action_open(self) -> None:
        """Watch the run under the cursor."""
        if self._glances:
            self.post_message(self.Chosen(self._glances[self._cursor].folder))

    def content(self, view: View, width: int, height: int) -> Content:
        """Name, kind, state, progress and result of each run."""
        if self._glances is None:
            return Content([(Span("looking for runs", "muted"),)])
        longest = max((len(glance.folder.name) for glance in self._glances), default=8)
        wide = max(12, min(longest + 4, width - 68))
        head: Line = (
            Span(
                f"  {'run':<{wide}}{'kind':<8}{'state':<11}{'epoch':>9}{'best':>9}{'time':>11}"
                f"   {'seen':>14}",
                "muted",
            ),
        )
        rows = [
            self._row(view, at, glance, wide, view.now) for at, glance in enumerate(self._glances)
        ]
        room = max(1, height - 2)
        self._top = max(min(self._top, self._cursor), self._cursor - room + 1)
        status = (Span("enter watches", "muted"),)
        return Content(rows, head=[head], status=status)

    def _row(self, view: View, at: int, glance: Glance, wide: int, now: float) -> Line:
        is_here = glance.folder.name == view.name
        is_cursor = at == self._cursor
        back = " on-panel" if is_cursor else ""
        best = f"{glance.best:.2f} %" if glance.best is not None else "–"
        epoch = f"{glance.epoch}/{glance.epochs or '–'}"
        seen = f"{human_seconds(max(0.0, now - glance.last_t))} ago" if glance.last_t else "–"
        name = clean(glance.folder.name, wide - 2)
        return (
            Span("▸ " if is_cursor else "  ", f"accent{back}"),
            Span(f"{name:<{wide}}", f"{'bold' if is_here else ''}{back}"),
            Span(f"{clean(glance.kind, 7):<8}", f"muted{back}"),
            Span(f"{glance.state:<11}", f"{ROLES.get(glance.state, '')}{back}"),
            Span(f"{epoch:>9}{best:>9}", back.strip()),
            Span(f"{human_seconds(glance.elapsed_s):>11}   {seen:>14}", f"muted{back}"),
        )
