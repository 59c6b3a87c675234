"""Lines of the dashboard without a frame, laid out for exactly their width."""

from typing import Protocol, cast

from textual.events import Resize

from darts_tui.dashboard.widgets.lines import LinesView


class Redrawing(Protocol):
    """An app that can redraw the run."""

    def redraw_soon(self) -> None:
        """Redraw once for all requests until then."""


class Bar(LinesView):
    """Lines that a redraw of the run fills."""

    def on_resize(self, event: Resize) -> None:
        """Redraw for the new width: a run that is over or paused is not redrawn otherwise."""
        del event
        cast("Redrawing", self.app).redraw_soon()
