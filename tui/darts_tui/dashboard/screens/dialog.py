"""A modal screen that closes only once, even if more keys are waiting for it."""

from textual.await_complete import AwaitComplete
from textual.events import Key
from textual.screen import ModalScreen, ScreenResultType


class Dialog(ModalScreen[ScreenResultType]):
    """A modal screen whose second dismissal does nothing.

    Keys that were pressed before it closed still reach it. `Screen.dismiss` of Textual 8.2.8 pops
    whatever screen is on top: the second key would close the next dialog, or the dashboard, which
    ends the app. A key that the closed screen lets through would be looked up in the bindings of
    the next one.
    """

    def __init__(self) -> None:
        super().__init__(classes="dialog")

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Close with a result, unless already closed."""
        if self.app.screen is not self:
            return AwaitComplete()
        return super().dismiss(result)

    def on_key(self, event: Key) -> None:
        """Let no key through after the dialog has closed."""
        if self.app.screen is not self:
            event.stop()
