"""A screen above the dashboard that closes once, however many keys still wait for it."""

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, ScreenResultType


class Dialog(ModalScreen[ScreenResultType]):
    """A modal screen whose second dismissal does nothing.

    Keys pressed before it has closed are still its own. Textual lets the second of them close
    whatever screen is on top by then: the next dialog, or the dashboard, which ends the app.
    """

    def __init__(self) -> None:
        super().__init__(classes="dialog")

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Close with an answer, unless closed already."""
        if self.app.screen is not self:
            return AwaitComplete()
        return super().dismiss(result)
