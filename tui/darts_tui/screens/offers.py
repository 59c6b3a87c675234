"""What the command palette offers."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from darts_tui.screens.dashboard import TABS

if TYPE_CHECKING:
    from darts_tui.app import DashboardApp


def offers(app: "DashboardApp") -> Iterator[SystemCommand]:
    """Every action by name, with its key, then the tabs and the themes."""
    yield SystemCommand("Pause or resume", "p", app.action_pause)
    yield SystemCommand("Checkpoint now", "c", app.action_checkpoint)
    yield SystemCommand("Stop ...", "x", app.action_stop)
    yield SystemCommand("Export", "e: cells, alphas and curves as files", app.action_export)
    yield SystemCommand("Detach", "q: the engine goes on", app.action_detach)
    yield SystemCommand("Help", "?: all keys", app.action_help)
    yield SystemCommand("Live", "0: back from an earlier epoch", app.action_live)
    yield SystemCommand("Smooth curves", "s", app.action_smooth)
    yield SystemCommand("Logarithmic loss", "y", app.action_log_scale)
    for tab in TABS:
        yield SystemCommand(f"View: {tab.title}", tab.key, partial(app.action_tab, tab.name))
    for name in app.themes:
        yield SystemCommand(f"Theme: {name}", "colours", partial(app.use_theme, name))
