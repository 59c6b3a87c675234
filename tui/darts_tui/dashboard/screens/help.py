"""The keys, and what the marks mean."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from darts_tui.dashboard.screens.dialog import Dialog
from darts_tui.dashboard.widgets.lines import Line, LinesView, Span

_LEFT = (
    ("Engine", ""),
    ("p", "pause, resume"),
    ("c", "checkpoint now"),
    ("x", "stop ..."),
    ("d", "discretisation gap"),
    ("e", "export pictures, tables"),
    ("q ctrl+c", "detach; engine goes on"),
    ("", ""),
    ("Look", ""),
    ("1 to 9", "views"),
    ("tab", "next panel"),
    ("up down", "scroll the panel"),
    ("enter", "Runs: watch that run"),
)
_RIGHT = (
    ("Time", ""),
    ("[ ]", "one epoch back, on"),
    ("{ }", "ten epochs back, on"),
    ("0", "back to live"),
    ("", ""),
    ("Show", ""),
    ("n", "other cell"),
    ("s", "smooth curves 0, .6, .9"),
    ("y", "logarithmic loss"),
    ("t", "next theme"),
    (": ctrl+p", "command palette"),
    ("? F1", "this help"),
    ("", ""),
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
        """Fill it once."""
        self.show_lines(help_lines())


class HelpScreen(Dialog[None]):
    """Any of the usual keys closes it."""

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
    """The help as lines, 70 cells wide and short enough for 24 rows."""
    lines: list[Line] = []
    for left, right in zip(_LEFT, _RIGHT, strict=True):
        lines.append((*_entry(*left, 36), *_entry(*right, 34)))
    lines += [_entry("", "", 70), _entry("Marks", "", 70)]
    lines += [_entry(mark, meaning, 70) for mark, meaning in _MARKS]
    return lines


def _entry(key: str, meaning: str, width: int) -> Line:
    if not meaning:
        return (Span(key.ljust(width), "bold accent on-surface"),)
    return (
        Span(f"  {key:<9}", "bold on-surface"),
        Span(meaning.ljust(width - 11), "muted on-surface"),
    )
