"""All runs beside this one; enter watches another."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from darts_engine.run.folder import RunFolder
from darts_tui.console.event_text import human_seconds
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.panels.header import BADGES
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.run_list import RunEntry
from darts_tui.dashboard.widgets.lines import Line, Span

# In fewer columns, the last ones stand closer together.
ROOMY = 80
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
        """The user has chosen another run to watch."""

        def __init__(self, folder: RunFolder) -> None:
            super().__init__()
            self.folder = folder

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._entries: list[RunEntry] | None = None
        self._cursor = 0

    def show_entries(self, entries: list[RunEntry]) -> None:
        """List these runs."""
        self._entries = entries
        self._cursor = min(self._cursor, max(0, len(entries) - 1))
        self._rebuild()

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        last = len(self._entries or []) - 1
        self._cursor = max(0, min(last, self._cursor + rows))
        self._rebuild()

    def action_open(self) -> None:
        """Watch the run under the cursor."""
        if self._entries:
            self.post_message(self.Chosen(self._entries[self._cursor].folder))

    def content(self, view: View, width: int, height: int) -> Content:
        """Name, kind, state, progress and result of each run."""
        if self._entries is None:
            return Content([(Span("looking for runs", "muted"),)])
        longest = max((len(entry.folder.name) for entry in self._entries), default=8)
        time, seen = (11, 17) if width >= ROOMY else (9, 13)
        wide = max(12, min(longest + 4, width - 40 - time - seen))
        head: Line = (
            Span(
                f"  {'run':<{wide}}{'kind':<8}{'state':<11}{'epoch':>9}{'best':>9}"
                f"{'time':>{time}}{'seen':>{seen}}",
                "muted",
            ),
        )
        rows = [
            self._row(view, at, entry, (wide, time, seen)) for at, entry in enumerate(self._entries)
        ]
        room = max(1, height - 2)
        self._top = max(min(self._top, self._cursor), self._cursor - room + 1)
        status = (Span("enter watches", "muted"),)
        return Content(rows, head=[head], status=status)

    def _row(self, view: View, at: int, entry: RunEntry, widths: tuple[int, int, int]) -> Line:
        """A row; `widths` are those of the name, the time and the last event's age."""
        wide, time, seen = widths
        is_here = entry.folder.name == view.name
        is_cursor = at == self._cursor
        back = " on-panel" if is_cursor else ""
        best = _best(entry) or "–"
        epoch = f"{entry.epoch}/{entry.epochs or '–'}"
        age = f"{human_seconds(max(0.0, view.now - entry.last_t))} ago" if entry.last_t else "–"
        name = clean(entry.folder.name, wide - 2)
        if entry.problem:
            figures = [Span(clean(entry.problem), f"muted{back}")]
        else:
            figures = [
                Span(f"{epoch:>9}{best:>9}", back.strip()),
                Span(f"{human_seconds(entry.elapsed_s):>{time}}{age:>{seen}}", f"muted{back}"),
            ]
        return (
            Span("▸ " if is_cursor else "  ", f"accent{back}"),
            Span(f"{name:<{wide}}", f"{'bold' if is_here else ''}{back}"),
            Span(f"{clean(entry.kind, 7):<8}", f"muted{back}"),
            Span(f"{entry.state:<11}", f"{ROLES.get(entry.state, '')}{back}"),
            *figures,
        )


def _best(entry: RunEntry) -> str:
    """The best accuracy or perplexity, in eight characters."""
    if entry.best is not None:
        return f"{entry.best:.2f} %"
    found = entry.perplexity
    return "" if found is None else f"{found:.1f} ppl" if found < 99.95 else f"{found:.0f} ppl"
