"""Lines of the dashboard without a frame, laid out for exactly the width they have."""

from typing import Protocol, cast

from textual.events import Resize

from darts_tui.dashboard.widgets.lines import LinesView


class Redrawing(Protocol):
    """An app that shows the run again."""

    def redraw_soon(self) -> None:
        """Once for all that ask before it does."""


class Bar(LinesView):
    """Filled by a look at the run, which may have come before the width that it has now."""

    def on_resize(self, event: Resize) -> None:
        """Ask for a look: a run that is over or paused gives no other reason for one."""
        del event
        cast("Redrawing", self.app).redraw_soon()
