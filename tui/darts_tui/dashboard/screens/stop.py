"""The dialog that stops the engine: now, after this epoch, or not at all."""

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from darts_tui.dashboard.screens.dialog import Dialog

Answer = Literal["now", "epoch"] | None


class StopDialog(Dialog[Answer]):
    """Its result is "now", "epoch", or None to go on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,c,q,ctrl+c", "answer('')", show=False),
        Binding("n", "answer('now')", show=False),
        Binding("e", "answer('epoch')", show=False),
    ]

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch

    def compose(self) -> ComposeResult:
        """Three choices; "after epoch" is highlighted first."""
        with Vertical():
            yield Static("Stop the engine?", classes="title", markup=False)
            yield OptionList(
                Option(f"e  after epoch {self._epoch}, with a checkpoint", id="epoch"),
                Option("n  now, with a checkpoint at this step", id="now"),
                Option("c  cancel: go on", id="cancel"),
                markup=False,
            )
            yield Static("Nothing is lost: 'darts-tui resume' goes on later.", classes="hint")

    def on_mount(self) -> None:
        """Focus the list, for the arrow keys."""
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose by enter or by a click."""
        self.action_answer("" if event.option.id == "cancel" else str(event.option.id))

    def action_answer(self, answer: str) -> None:
        """Close with this result."""
        self.dismiss("now" if answer == "now" else "epoch" if answer == "epoch" else None)
