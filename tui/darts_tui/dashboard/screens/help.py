"""The help: all keys, and the meaning of the marks."""

import itertools
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from darts_tui.dashboard.actions import ACTIONS, ENGINE, SHOW, TABS, TIME
from darts_tui.dashboard.screens.dialog import Dialog
from darts_tui.dashboard.widgets.lines import Line, LinesView, Span

# Keys of the tabs and of the panels.
_LOOK = (
    (f"{TABS[0].key} to {TABS[-1].key}", "views"),
    ("tab", "next panel"),
    ("up down", "scroll the panel"),
    ("enter", "Runs: watch that run"),
)
_MARKS = (
    ("▸", "edge kept by the derived cell"),
    ("[.34]", "operation it keeps, and its weight"),
    ("H", "entropy of an edge's weights in nats"),
    ("held", "epochs since its strongest operation changed"),
    ("◆", "best epoch"),
    ("*", "new in the newest genotype"),
)


class HelpText(LinesView):
    """Two columns of keys, then the marks."""

    def on_mount(self) -> None:
        """Show the help's lines."""
        self.show_lines(help_lines())


class HelpScreen(Dialog[None]):
    """The help over the dashboard; escape, enter, q and its own keys close it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter,ctrl+c", "dismiss", show=False),
    ]

    def compose(self) -> ComposeResult:
        """One block of text."""
        text = HelpText()
        text.styles.height = len(help_lines())
        with Vertical():
            yield text


def help_lines() -> list[Line]:
    """The help as lines, 70 cells wide and few enough for 24 rows."""
    blank = ("", "")
    left = [*_section(ENGINE), blank, ("Look", ""), *_LOOK]
    right = [*_section(TIME), blank, *_section(SHOW)]
    lines: list[Line] = [
        (*_entry(key, meaning, 36), *_entry(other_key, other_meaning, 34))
        for (key, meaning), (other_key, other_meaning) in itertools.zip_longest(
            left, right, fillvalue=blank
        )
    ]
    lines += [_entry("", "", 70), _entry("Marks", "", 70)]
    lines += [_entry(mark, meaning, 70) for mark, meaning in _MARKS]
    return lines


def _section(name: str) -> list[tuple[str, str]]:
    """The heading, then (keys, help) of each action under it."""
    actions = [action for action in ACTIONS if action.section == name]
    return [(name, ""), *((f"{a.key} {a.other_keys}".strip(), a.help) for a in actions)]


def _entry(key: str, meaning: str, width: int) -> Line:
    if not meaning:
        return (Span(key.ljust(width), "bold accent on-surface"),)
    return (
        Span(f"  {key:<9}", "bold on-surface"),
        Span(meaning.ljust(width - 11), "muted on-surface"),
    )
