"""The command palette: every action by name, found by typing a part of it.

It replaces Textual's own (`textual.command.CommandPalette`, 8.2.8). There, the worker
`_gather_commands` and the timer `_show_no_matches` call `query_one(CommandList)`. If the palette is
closed before they run, that raises NoMatches, which ends the app. Random input has done so; no
upstream issue is known. This palette is a plain list without a worker. Before it is removed,
`tests/end_to_end/test_input_fuzz.py` must pass with Textual's, and with ":" among its keys.
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.fuzzy import Matcher
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from darts_tui.console.safe_text import clean
from darts_tui.dashboard import actions
from darts_tui.dashboard.screens.dialog import Dialog

NAME_WIDTH = 24
ORDER = (
    actions.PAUSE,
    actions.CHECKPOINT,
    actions.STOP,
    actions.DISCRETISE,
    actions.EXPORT,
    actions.DETACH,
    actions.HELP,
    actions.LIVE,
    actions.NEXT_CELL,
    actions.SMOOTH,
    actions.LOG_SCALE,
)


class Entry(NamedTuple):
    """A line of the palette: a name, the key or a hint, and the app's action to run."""

    name: str
    hint: str
    call: str


def entries(tabs: Iterable[actions.Action], themes: Iterable[str]) -> list[Entry]:
    """The actions of `ORDER`, then the tabs, then the themes."""
    return [
        *(Entry(a.label, f"{a.key}   {a.hint}".rstrip(), a.call) for a in (*ORDER, *tabs)),
        *(Entry(f"Theme: {name}", "", f"theme({name!r})") for name in themes),
    ]


def matching(entries: list[Entry], typed: str) -> list[Entry]:
    """The entries whose names have the typed letters in this order, the best match first."""
    if not typed.strip():
        return entries
    match = Matcher(typed.strip()).match
    scores = {entry: match(entry.name) for entry in entries}
    return sorted((e for e in entries if scores[e] > 0), key=lambda e: -scores[e])


class PaletteScreen(Dialog[str | None]):
    """Its result is the chosen entry's action, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c,ctrl+p", "dismiss", show=False),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
    ]

    def __init__(self, entries: list[Entry]) -> None:
        super().__init__()
        self._entries = self._listed = entries

    def compose(self) -> ComposeResult:
        """An input line, and the list below it."""
        with Vertical():
            yield Input(placeholder="what to do")
            yield OptionList(markup=False)

    def on_mount(self) -> None:
        """List all entries and focus the input."""
        self._list(self._entries)
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """List the matching entries."""
        self._list(matching(self._entries, event.value))

    def on_input_submitted(self) -> None:
        """Choose the highlighted entry on enter."""
        highlighted = self.query_one(OptionList).highlighted
        if highlighted is not None:
            self.dismiss(self._listed[highlighted].call)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose an entry by a click."""
        self.dismiss(self._listed[event.option_index].call)

    def action_move(self, rows: int) -> None:
        """Move the highlight with the arrow keys while the input has the focus."""
        options = self.query_one(OptionList)
        if rows > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def _list(self, entries: list[Entry]) -> None:
        self._listed = entries
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(_line(entry)) for entry in entries])
        options.highlighted = 0 if entries else None


def _line(entry: Entry) -> Text:
    return Text.assemble(
        clean(entry.name, NAME_WIDTH).ljust(NAME_WIDTH), (clean(entry.hint), "dim")
    )
