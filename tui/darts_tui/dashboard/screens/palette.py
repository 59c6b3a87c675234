"""The command palette: every action by name, found by typing a part of it.

Textual has one, which gathers its commands in a worker: closed at the wrong moment, that worker
looks for widgets that are gone and ends the app. This one is a plain list.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.fuzzy import Matcher
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from darts_tui.console.safe_text import clean
from darts_tui.dashboard.screens.dashboard import ADDED, TABS
from darts_tui.dashboard.screens.dialog import Dialog

if TYPE_CHECKING:
    from darts_tui.dashboard.app import DashboardApp

NAME_WIDTH = 24


class Offer(NamedTuple):
    """Something to do: its name, its key or a hint, and what does it."""

    name: str
    hint: str
    do: Callable[[], object]


def offers(app: "DashboardApp") -> Iterator[Offer]:
    """Every action by name, with its key, then the tabs and the themes."""
    yield Offer("Pause or resume", "p", app.action_pause)
    yield Offer("Checkpoint now", "c", app.action_checkpoint)
    yield Offer("Stop ...", "x", app.action_stop)
    yield Offer("Discretisation gap", "d   the supernet cut to its genotype", app.action_discretise)
    yield Offer("Export", "e   cells, alphas, curves as files", app.action_export)
    yield Offer("Detach", "q   the engine goes on", app.action_detach)
    yield Offer("Help", "?   all keys", app.action_help)
    yield Offer("Live", "0   back from an earlier epoch", app.action_live)
    yield Offer("Other cell", "n", app.action_next_cell)
    yield Offer("Smooth curves", "s", app.action_smooth)
    yield Offer("Logarithmic loss", "y", app.action_log_scale)
    for tab in (*TABS, ADDED) if app.dashboard.added else TABS:
        yield Offer(f"View: {tab.title}", tab.key, partial(app.action_tab, tab.name))
    for name in app.themes:
        yield Offer(f"Theme: {name}", "", partial(app.use_theme, name))


def found(offered: list[Offer], typed: str) -> list[Offer]:
    """The offers whose names hold what was typed, letters between left out; the nearest first."""
    if not typed.strip():
        return offered
    match = Matcher(typed.strip()).match
    nearness = {offer: match(offer.name) for offer in offered}
    return sorted((o for o in offered if nearness[o] > 0), key=lambda o: -nearness[o])


class PaletteScreen(Dialog[Offer | None]):
    """Answers with what was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c,ctrl+p", "dismiss", show=False),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
    ]

    def __init__(self, offered: list[Offer]) -> None:
        super().__init__()
        self._offered = self._found = offered

    def compose(self) -> ComposeResult:
        """A line to type in, and the list below it."""
        with Vertical():
            yield Input(placeholder="what to do")
            yield OptionList(markup=False)

    def on_mount(self) -> None:
        """All offers, and the keys go into the line."""
        self._list(self._offered)
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list."""
        self._list(found(self._offered, event.value))

    def on_input_submitted(self) -> None:
        """Enter takes the marked offer."""
        marked = self.query_one(OptionList).highlighted
        if marked is not None:
            self.dismiss(self._found[marked])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """So does a click."""
        self.dismiss(self._found[event.option_index])

    def action_move(self, rows: int) -> None:
        """The arrow keys move the mark while the line has the keys."""
        offered = self.query_one(OptionList)
        if rows > 0:
            offered.action_cursor_down()
        else:
            offered.action_cursor_up()

    def _list(self, offered: list[Offer]) -> None:
        self._found = offered
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(_line(offer)) for offer in offered])
        options.highlighted = 0 if offered else None


def _line(offer: Offer) -> Text:
    return Text.assemble(
        clean(offer.name, NAME_WIDTH).ljust(NAME_WIDTH), (clean(offer.hint), "dim")
    )
