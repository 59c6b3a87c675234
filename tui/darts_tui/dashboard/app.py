"""The dashboard app: shows one run, redraws it when it has changed, and runs the keys' actions."""

import asyncio
import logging
from collections.abc import Callable
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual import work
from textual.app import App
from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen

from darts_engine.run import events
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import steady
from darts_engine.run.state import RunState, fold
from darts_themes import builtin, load_folder
from darts_tui.console.safe_text import clean
from darts_tui.dashboard import added, partial_updates, terminal
from darts_tui.dashboard.actions import ACTIONS, ADDED
from darts_tui.dashboard.driver import SafeDriver
from darts_tui.dashboard.notifications import CALLS, toast_of
from darts_tui.dashboard.panels.runs import RunsPanel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.reader import EngineStatus, EventsRead, Reader, StateRead, StatusChanged
from darts_tui.dashboard.run_list import RunEntry, list_entries
from darts_tui.dashboard.screens.dashboard import Dashboard
from darts_tui.dashboard.screens.help import HelpScreen
from darts_tui.dashboard.screens.palette import PaletteScreen, entries
from darts_tui.dashboard.screens.stop import StopDialog
from darts_tui.dashboard.steering import Steering
from darts_tui.dashboard.widgets.lines import LinesView
from darts_tui.dashboard.widgets.theme_styles import ThemeStyles, textual_theme
from darts_tui.runs.bounded import bound

log = logging.getLogger(__name__)

FAST_S, SLOW_S = 0.25, 1.0
RUNS_EVERY_S = 5.0
SMOOTHINGS = (0.0, 0.6, 0.9)
DEFAULT_THEME = "dark"


class DashboardApp(App[int]):
    """Watches and steers one run.

    Args:
        folder: the run.
        slow: redraw once a second, for thin lines.
        theme: a theme's name.
        clock: Unix seconds, which tests stop; unless given, a steady clock.
        glyphs: braille, block or ascii; None chooses by the terminal.
        notify: none, bell or desktop: how to call the user for alerts and for the run's end.
    """

    CSS_PATH = "app.tcss"
    TITLE = "darts-tui"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in ACTIONS]

    def __init__(
        self,
        folder: RunFolder,
        *,
        slow: bool = False,
        theme: str | None = None,
        clock: Callable[[], float] | None = None,
        glyphs: str | None = None,
        notify: str = "none",
    ) -> None:
        self.themes = builtin()
        self.theme_styles = ThemeStyles(self.themes[DEFAULT_THEME])
        super().__init__(driver_class=SafeDriver)
        self.animation_level = "none"
        self.folder = folder
        panels, problems = added.panels()
        self.dashboard = Dashboard(panels)
        self._clock, self._interval_s = clock or steady(), SLOW_S if slow else FAST_S
        self._how_to_notify = notify
        self._glyphs = glyphs or terminal.glyphs_here()
        self.plain_glyphs = self._glyphs == "ascii"
        self._problems = problems + self._load_more_themes()
        self._wanted_theme = theme or DEFAULT_THEME
        self._epoch: int | None = None
        self._smoothing, self._log_loss, self._cell = 0.0, False, 0
        self._reader: Reader
        self._is_current = False
        self._reset()

    def get_default_screen(self) -> Screen[None]:
        """The dashboard, below all other screens."""
        return self.dashboard

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The style sheet's own colour names, for the time before the first theme is set."""
        colors = self.theme_styles.theme.colors
        return {"muted": colors["muted"], "line": colors["line"]}

    def on_mount(self) -> None:
        """Start the reader and the tick."""
        if isinstance(self._driver, SafeDriver):
            terminal.leave_on_signals(self, self._driver.is_apart)
        for theme in self.themes.values():
            self.register_theme(textual_theme(theme))
        if self._wanted_theme not in self.themes:
            self._problems.append(f"there is no theme {self._wanted_theme!r}")
            self._wanted_theme = DEFAULT_THEME
        self.use_theme(self._wanted_theme)
        for problem in self._problems:
            self.show_message(problem, "warning")
        if self.dashboard.added:
            self.bind(ADDED.key, ADDED.call, description=ADDED.label)
        self._reader.start()
        self.set_interval(self._interval_s, self._tick)
        self.set_interval(RUNS_EVERY_S, self._list_runs)

    def exit(
        self,
        result: int | None = None,
        return_code: int = 0,
        message: RenderableType | None = None,
    ) -> None:
        """Leave, at once even while a long log is read."""
        self._reader.stop()
        super().exit(result, return_code, message)

    def on_unmount(self) -> None:
        """End the reader."""
        self._reader.stop()

    def on_resize(self, event: Resize) -> None:
        """Lay out again when Textual has the new size."""
        del event
        self.call_after_refresh(self.redraw)

    def panic(self, *renderables: RenderableType) -> None:
        """Log an error outside of any panel, and print how to come back."""
        log.error("the dashboard failed\n%s", terminal.as_text(*renderables))
        super().panic(Text(terminal.farewell(clean(self.folder.name))))

    def _fatal_error(self) -> None:
        """Log an unhandled exception. Textual's own method would print local variables."""
        log.error("the dashboard failed", exc_info=self._exception)
        super().panic(Text(terminal.farewell(clean(self.folder.name))))

    # What is shown

    def view(self) -> View:
        """The run as it is now, and as the user wants to see it."""
        status = self._status
        return View(
            state=self.state,
            name=self.folder.name,
            live=status.live,
            heartbeat_s=status.heartbeat_s,
            now=self._clock(),
            epoch=self._epoch,
            smoothing=self._smoothing,
            log_loss=self._log_loss,
            cell=self._cell,
            glyphs=self._glyphs,
            pending=self._steering.pending,
            engine_tail=status.tail,
            loading=status.behind,
            read=status.read,
            damaged=status.damaged,
            problem=status.problem,
        )

    def redraw(self) -> None:
        """Show the run as it is now."""
        self._dirty, self._drawn_s, self._redraw_waits = False, int(self._clock()), False
        # Before its mount the screen lacks widgets, and timers still tick during the shutdown.
        if self.is_running and self.dashboard.is_attached and self.dashboard.is_mounted:
            try:
                self.dashboard.show(self.view())
            except NoMatches:
                # During the shutdown the screen loses its widgets one by one.
                self._dirty = True

    def redraw_soon(self) -> None:
        """Redraw once for all waiting keys, so that a held key causes no backlog."""
        if not self._redraw_waits:
            self._redraw_waits = True
            self.call_later(self.redraw)

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a toast of plain text without markup or control characters."""
        known = {"warning": "warning", "error": "error"}
        self.notify(
            clean(text, 300),
            severity=known.get(severity, "information"),  # type: ignore[arg-type]
            timeout=5,
            markup=False,
        )

    def use_theme(self, name: str) -> None:
        """Change all colours to those of a theme."""
        self.theme_styles = ThemeStyles(self.themes[name])
        self._wanted_theme = self.theme = name
        for screen in self.screen_stack:
            for widget in screen.query(LinesView):
                widget.refresh()

    def _tick(self) -> None:
        """Redraw if anything has changed, or once a second while the run's clock advances."""
        clock_advances = self._status.live in ("running", "stopping", "starting")
        if self._dirty or (clock_advances and int(self._clock()) != self._drawn_s):
            self.redraw()

    # Messages of the reader

    def on_events_read(self, message: EventsRead) -> None:
        """Fold a batch. Events from before the dashboard was opened cause no toasts."""
        try:
            if message.reader is not self._reader:
                return
            for event in message.history:
                fold(self.state, event)
                self._steering.take_event(event)
                if self._is_current:
                    self._notify_of(event)
            bound(self.state)
            self._dirty = True
        finally:
            message.folded.set()

    def on_state_read(self, message: StateRead) -> None:
        """Show another state: of the ends of a long log, or at last of all of it."""
        if message.reader is self._reader:
            self.state, self._dirty = message.state, True

    def on_status_changed(self, message: StatusChanged) -> None:
        """Keep the engine's new status."""
        if message.reader is not self._reader:
            return
        self._status = message.status
        self._is_current = self._is_current or not message.status.behind
        if self.view().is_over:
            self._steering.end()
        self._dirty = True

    def _notify_of(self, event: events.AnyEvent) -> None:
        toast = toast_of(event, is_measuring=self._steering.is_measuring)
        if toast:
            self.show_message(toast.text, toast.level)
            if isinstance(event, CALLS):
                self._call(toast.text)

    def _call(self, text: str) -> None:
        """Call a user who does not watch the screen, as `notify` wants it."""
        if self._how_to_notify == "bell":
            self.bell()
        elif self._how_to_notify == "desktop" and isinstance(self._driver, SafeDriver):
            self._driver.notify_desktop(text)

    def _reset(self) -> None:
        self.state = RunState()
        self._steering = Steering(self.folder, self)
        self._status = EngineStatus("starting", None, (), 0, behind=True)
        self._is_current, self._dirty, self._drawn_s = False, True, 0
        self._redraw_waits = False
        self._reader = Reader(self.folder, self.state, self._interval_s, self._from_thread)

    def _from_thread(self, message: Message) -> None:
        if self.is_running:
            self.post_message(message)

    # Steering

    def action_pause(self) -> None:
        """Pause a running engine, resume a paused one."""
        self._steering.pause()

    def action_checkpoint(self) -> None:
        """Request a checkpoint at the next step."""
        self._steering.checkpoint()

    def action_discretise(self) -> None:
        """Request the discretisation gap at the next step."""
        self._steering.discretise()

    def action_stop(self) -> None:
        """Open the stop dialog."""
        if self._steering.is_possible("stop"):
            self.push_screen(StopDialog(self.state.epoch), self._steering.stop)

    def action_export(self) -> None:
        """Draw cells, alphas and curves in a child process."""
        drawing = self._steering.export(self._epoch)
        self.run_worker(drawing, group="export", exclusive=True, exit_on_error=False)

    def action_detach(self) -> None:
        """End the dashboard; the engine goes on."""
        self.exit(0, return_code=0)

    # What to show

    def action_tab(self, name: str) -> None:
        """Show a tab."""
        if name not in [tab.name for tab in self.dashboard.tabs(self.view())]:
            self.show_message("A training has no alpha to show.")
            return
        if not self.dashboard.is_mounted:
            return
        self.dashboard.switch(name)
        if name == "runs":
            self._list_runs()
        self.call_after_refresh(self.redraw)

    def action_scrub(self, epochs: int) -> None:
        """Show the run as it was some epochs earlier or later; the newest epoch follows the run."""
        newest = self.state.epoch
        if newest < 2:
            self.show_message("There is no earlier epoch yet.")
            return
        epoch = (newest if self._epoch is None else self._epoch) + epochs
        self._epoch = None if epoch >= newest else max(1, epoch)
        self.redraw_soon()

    def action_live(self) -> None:
        """Show the newest epoch again."""
        self._epoch = None
        self.redraw_soon()

    def action_next_cell(self) -> None:
        """Show the next cell in panels that have room for one."""
        self._cell += 1
        self.redraw_soon()

    def action_smooth(self) -> None:
        """Smooth the curves with the next of `SMOOTHINGS`."""
        self._smoothing = SMOOTHINGS[(SMOOTHINGS.index(self._smoothing) + 1) % len(SMOOTHINGS)]
        self.redraw_soon()

    def action_log_scale(self) -> None:
        """Switch the loss axis between linear and logarithmic."""
        self._log_loss = not self._log_loss
        self.redraw_soon()

    def action_theme(self, name: str) -> None:
        """Show the theme of this name."""
        self.use_theme(name)

    def action_next_theme(self) -> None:
        """Show the next theme, once for all waiting keys: a change of colours takes long."""
        names = list(self.themes)
        if self._wanted_theme == self.theme:
            self.call_later(lambda: self.use_theme(self._wanted_theme))
        self._wanted_theme = names[(names.index(self._wanted_theme) + 1) % len(names)]

    def action_help(self) -> None:
        """Open the help."""
        self.push_screen(HelpScreen())

    def action_command_palette(self) -> None:
        """Open the palette and run what is chosen in it."""
        self.push_screen(
            PaletteScreen(entries(self.dashboard.all_tabs, self.themes)), self._run_chosen
        )

    async def _run_chosen(self, action: str | None) -> None:
        if action is not None:
            await self.run_action(action)

    # Other runs

    def _list_runs(self) -> None:
        if self.dashboard.tab == "runs":
            self._read_list()

    @work(group="runs", exclusive=True, exit_on_error=False)
    async def _read_list(self) -> None:
        runs: list[RunEntry] = await asyncio.to_thread(list_entries, self.folder)
        self.dashboard.query_one(RunsPanel).show_entries(runs)

    def on_runs_panel_chosen(self, message: RunsPanel.Chosen) -> None:
        """Watch another run from now on."""
        self._reader.stop()
        self.folder, self._epoch, self._cell = message.folder, None, 0
        self._reset()
        self._reader.start()
        self.dashboard.switch("overview")
        self.call_after_refresh(self.redraw)

    def _load_more_themes(self) -> list[str]:
        """Add the themes of packages, then the user's own; a line for each that is none."""
        of_packages, refused = added.themes(self.themes)
        own, problems = load_folder(terminal.themes_folder())
        self.themes.update(of_packages)
        self.themes.update({theme.name: theme for theme in own})
        return refused + problems


def watch(
    folder: RunFolder,
    *,
    mouse: bool = True,
    slow: bool = False,
    theme: str | None = None,
    notify: str = "none",
) -> int:
    """Run the dashboard on a run folder until the user detaches or a signal ends it.

    Returns:
        The process's exit code: 0 after q, 128 + its number after a signal (143 for SIGTERM),
        1 if the dashboard itself failed.
    """
    terminal.log_to_file()
    partial_updates.install()
    app = DashboardApp(folder, slow=slow, theme=theme, notify=notify)
    app.run(mouse=mouse)
    return 1 if app.return_code is None else app.return_code
