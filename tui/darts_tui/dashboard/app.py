"""The dashboard app: one run, its reader, the keys, and a tick that redraws what has changed."""

import asyncio
import logging
import time
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

from darts_engine.run import commands, events
from darts_engine.run.errors import RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.state import RunState, fold
from darts_themes import builtin, load_folder
from darts_tui.console.event_text import note
from darts_tui.console.safe_text import clean
from darts_tui.dashboard import added, partial_updates, terminal
from darts_tui.dashboard.driver import SafeDriver
from darts_tui.dashboard.panels.runs import RunsPanel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.pending_commands import Wishes
from darts_tui.dashboard.reader import EventsRead, Glance, Pulse, PulseTaken, Reader, glances
from darts_tui.dashboard.screens.dashboard import ADDED, Dashboard
from darts_tui.dashboard.screens.exports import ExportFailedError, export
from darts_tui.dashboard.screens.help import HelpScreen
from darts_tui.dashboard.screens.keys import KEYS
from darts_tui.dashboard.screens.palette import Offer, PaletteScreen, offers
from darts_tui.dashboard.screens.stop import Answer, StopDialog
from darts_tui.dashboard.widgets.lines import LinesView
from darts_tui.dashboard.widgets.palette import Palette, textual_theme

log = logging.getLogger(__name__)

FAST_S, SLOW_S = 0.25, 1.0
RUNS_EVERY_S = 5.0
SMOOTHINGS = (0.0, 0.6, 0.9)
DEFAULT_THEME = "dark"
MEASURING = "measuring"
# What is worth calling somebody for.
CALLS = (events.AlertRaised, events.RunFinished, events.RunFailed)


class DashboardApp(App[int]):
    """Watches and steers one run.

    Args:
        folder: the run.
        slow: redraw once a second, for thin lines.
        theme: a theme's name.
        clock: Unix seconds; tests stop it.
        glyphs: braille, block or ascii; found out where not given.
        notify: how alerts and the run's end are told beyond the screen: none, bell or desktop.
    """

    CSS_PATH = "app.tcss"
    TITLE = "darts-tui"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(
        self,
        folder: RunFolder,
        *,
        slow: bool = False,
        theme: str | None = None,
        clock: Callable[[], float] = time.time,
        glyphs: str | None = None,
        notify: str = "none",
    ) -> None:
        self.themes = builtin()
        self.palette = Palette(self.themes[DEFAULT_THEME])
        super().__init__(driver_class=SafeDriver)
        self.animation_level = "none"
        self.folder = folder
        panels, problems = added.panels()
        self.dashboard = Dashboard(panels)
        self._clock, self._interval_s = clock, SLOW_S if slow else FAST_S
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
        """The dashboard is the bottom of all screens."""
        return self.dashboard

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our names in the style sheet, known before the first theme is in force."""
        colors = self.palette.theme.colors
        return {"muted": colors["muted"], "line": colors["line"]}

    def on_mount(self) -> None:
        """Start the reader and the tick."""
        if not self.is_headless:
            terminal.leave_on_signals(self)
        for theme in self.themes.values():
            self.register_theme(textual_theme(theme))
        if self._wanted_theme not in self.themes:
            self._problems.append(f"there is no theme {self._wanted_theme!r}")
            self._wanted_theme = DEFAULT_THEME
        self.use_theme(self._wanted_theme)
        for problem in self._problems:
            self.show_message(problem, "warning")
        if self.dashboard.added:
            self.bind(ADDED.key, f"tab('{ADDED.name}')", description=ADDED.title)
        self._reader.start()
        self.set_interval(self._interval_s, self._tick)
        self.set_interval(RUNS_EVERY_S, self._list_runs)

    def on_unmount(self) -> None:
        """End the reader."""
        self._reader.stop()

    def on_resize(self, event: Resize) -> None:
        """Lay out again once the new size is in force."""
        del event
        self.call_after_refresh(self.redraw)

    def panic(self, *renderables: RenderableType) -> None:
        """A fault outside of any panel: into the log, and a way back onto the screen."""
        log.error("the dashboard failed\n%s", terminal.as_text(*renderables))
        super().panic(Text(terminal.last_words(clean(self.folder.name))))

    def _fatal_error(self) -> None:
        """Textual's way out of an unhandled exception, which would print local variables."""
        log.error("the dashboard failed", exc_info=self._exception)
        super().panic(Text(terminal.last_words(clean(self.folder.name))))

    # What is shown

    def view(self) -> View:
        """This look at the run."""
        pulse = self._pulse
        return View(
            state=self.state,
            name=self.folder.name,
            live=pulse.live,
            heartbeat_s=pulse.heartbeat_s,
            now=self._clock(),
            epoch=self._epoch,
            smoothing=self._smoothing,
            log_loss=self._log_loss,
            cell=self._cell,
            glyphs=self._glyphs,
            asked=self._wishes.newest,
            engine_tail=pulse.tail,
            loading=pulse.behind,
            damaged=pulse.damaged,
        )

    def redraw(self) -> None:
        """Show the run as it is now."""
        self._dirty, self._drawn_s, self._redraw_waits = False, int(self._clock()), False
        # The screen is whole from its mount on; while the app shuts down, timers still tick.
        if self.is_running and self.dashboard.is_attached and self.dashboard.is_mounted:
            try:
                self.dashboard.show(self.view())
            except NoMatches:
                # The screen loses its widgets one by one.
                self._dirty = True

    def redraw_soon(self) -> None:
        """Redraw once for all the keys that are waiting, so that a held key never lags behind."""
        if not self._redraw_waits:
            self._redraw_waits = True
            self.call_later(self.redraw)

    def show_message(self, text: str, severity: str = "information") -> None:
        """A toast; never markup, never control characters."""
        known = {"warning": "warning", "error": "error"}
        self.notify(
            clean(text, 300),
            severity=known.get(severity, "information"),  # type: ignore[arg-type]
            timeout=5,
            markup=False,
        )

    def use_theme(self, name: str) -> None:
        """Change all colours at once."""
        self.palette = Palette(self.themes[name])
        self._wanted_theme = self.theme = name
        for screen in self.screen_stack:
            for widget in screen.query(LinesView):
                widget.refresh()

    def _tick(self) -> None:
        """Redraw at most this often, and only for a reason; a clock that runs is one."""
        ticks = self._pulse.live in ("running", "stopping", "starting")
        if self._dirty or (ticks and int(self._clock()) != self._drawn_s):
            self.redraw()

    # What the reader tells

    def on_events_read(self, message: EventsRead) -> None:
        """Fold a batch; old history says nothing aloud."""
        try:
            if message.reader is not self._reader:
                return
            for event in message.history:
                fold(self.state, event)
                if isinstance(event, events.CommandDone | events.CommandRejected):
                    self._wishes.answered(event.id)
                if self._is_current:
                    self._announce(event)
            self._dirty = True
        finally:
            message.folded.set()

    def on_pulse_taken(self, message: PulseTaken) -> None:
        """Take note of how the engine is."""
        if message.reader is not self._reader:
            return
        self._pulse = message.pulse
        self._is_current = self._is_current or not message.pulse.behind
        if self.view().is_over:
            self._wishes.give_up()
        self._dirty = True

    def _announce(self, event: events.AnyEvent) -> None:
        aloud = (events.AlertRaised, events.RunFinished, events.RunFailed, events.CommandRejected)
        asked = isinstance(event, events.CheckpointSaved) and event.reason == "command"
        asked |= isinstance(event, events.GapMeasured) and self._wishes.has(MEASURING)
        if asked or isinstance(event, aloud):
            told = note(event)
            if told:
                self.show_message(told.text, told.level)
                if isinstance(event, CALLS):
                    self._call(told.text)

    def _call(self, text: str) -> None:
        """Tell somebody who does not look at the screen, if that was asked for."""
        if self._how_to_notify == "bell":
            self.bell()
        elif self._how_to_notify == "desktop" and isinstance(self._driver, SafeDriver):
            self._driver.notify_desktop(text)

    def _reset(self) -> None:
        self.state = RunState()
        self._wishes = Wishes(self.folder, self._on_not_written)
        self._pulse = Pulse("starting", None, (), 0, behind=True)
        self._is_current, self._dirty, self._drawn_s = False, True, 0
        self._redraw_waits = False
        self._reader = Reader(self.folder, self.state, self._interval_s, self._from_thread)

    def _from_thread(self, message: Message) -> None:
        if self.is_running:
            self.post_message(message)

    # Steering

    def action_pause(self) -> None:
        """Pause a running engine, resume a paused one."""
        live = self._pulse.live
        if not self._can_steer("pause"):
            return
        if self._wishes.has("pausing"):
            self.show_message("A pause is already asked for.")
        elif live == "paused":
            self._send(commands.stamped(commands.Resume), "resuming")
        else:
            self._send(commands.stamped(commands.Pause), "pausing")

    def action_checkpoint(self) -> None:
        """Ask for a checkpoint at the next step."""
        if self._can_steer("save"):
            self._send(commands.stamped(commands.Checkpoint))
            self.show_message("A checkpoint is asked for.")

    def action_discretise(self) -> None:
        """Ask for the discretisation gap at the next step."""
        if self.state.kind == "train":
            self.show_message("A training has no alpha to discretise.")
        elif self._wishes.has(MEASURING):
            self.show_message("The gap is being measured.")
        elif self._can_steer("measure"):
            self._send(commands.stamped(commands.Discretise), MEASURING)

    def action_stop(self) -> None:
        """Ask how to stop."""
        if self._can_steer("stop"):
            self.push_screen(StopDialog(self.state.epoch), self._stop)

    def _stop(self, answer: Answer | None) -> None:
        if answer is not None:
            command = commands.stamped(commands.Stop, after_epoch=answer == "epoch")
            self._send(command, "stopping" if answer == "now" else "")
            if answer == "epoch":
                self.show_message(f"The engine will stop after epoch {self.state.epoch}.")

    def _can_steer(self, what: str) -> bool:
        if self.view().is_over:
            self.show_message(
                f"The run is {self._pulse.live}: there is nothing to {what}.", "warning"
            )
            return False
        if self._pulse.live == "starting" and self.state.download is None:
            self.show_message(f"The engine is still starting: it cannot {what} yet.", "warning")
            return False
        return True

    def _send(self, command: commands.Command, word: str = "") -> None:
        self._wishes.send(command, word)
        self.redraw_soon()

    def _on_not_written(self, error: RunError) -> None:
        if self.is_running:
            self.show_message(f"{error.what} ({error.where})", "error")

    def action_export(self) -> None:
        """Draw the cells, alphas and curves in a process of their own."""
        if self.state.started is None:
            self.show_message("There is nothing to export yet.", "warning")
            return
        self.show_message("Exporting ...")
        self._export()

    @work(group="export", exclusive=True, exit_on_error=False)
    async def _export(self) -> None:
        try:
            files, messages = await export(self.folder, self._epoch)
        except ExportFailedError as error:
            self.show_message(f"Export failed: {error}", "error")
            return
        for message in messages:
            self.show_message(message, "warning")
        if files:
            self.show_message(f"{len(files)} files in {self.folder.exports}")

    def action_detach(self) -> None:
        """Leave the engine alone and end the dashboard."""
        self.exit(0, return_code=0)

    # Looking

    def action_tab(self, name: str) -> None:
        """Show a numbered view."""
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
        """Look at an earlier epoch, or come back towards now."""
        newest = self.state.epoch
        if newest < 2:
            self.show_message("There is no earlier epoch yet.")
            return
        epoch = (newest if self._epoch is None else self._epoch) + epochs
        self._epoch = None if epoch >= newest else max(1, epoch)
        self.redraw_soon()

    def action_live(self) -> None:
        """Look at the newest epoch again."""
        self._epoch = None
        self.redraw_soon()

    def action_next_cell(self) -> None:
        """Show the other cell where there is room for one."""
        self._cell += 1
        self.redraw_soon()

    def action_smooth(self) -> None:
        """The next of a few strengths of smoothing."""
        self._smoothing = SMOOTHINGS[(SMOOTHINGS.index(self._smoothing) + 1) % len(SMOOTHINGS)]
        self.redraw_soon()

    def action_log_scale(self) -> None:
        """Logarithmic or linear loss."""
        self._log_loss = not self._log_loss
        self.redraw_soon()

    def action_next_theme(self) -> None:
        """The next theme; of keys that wait only the last is shown, as new colours take a while."""
        names = list(self.themes)
        if self._wanted_theme == self.theme:
            self.call_later(lambda: self.use_theme(self._wanted_theme))
        self._wanted_theme = names[(names.index(self._wanted_theme) + 1) % len(names)]

    def action_help(self) -> None:
        """The keys."""
        self.push_screen(HelpScreen())

    def action_command_palette(self) -> None:
        """Everything there is to do, by name."""
        self.push_screen(PaletteScreen(list(offers(self))), self._do)

    def _do(self, offer: Offer | None) -> None:
        if offer is not None:
            offer.do()

    # Other runs

    def _list_runs(self) -> None:
        if self.dashboard.tab == "runs":
            self._glance()

    @work(group="runs", exclusive=True, exit_on_error=False)
    async def _glance(self) -> None:
        found: list[Glance] = await asyncio.to_thread(glances, self.folder)
        self.dashboard.query_one(RunsPanel).show_glances(found)

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
    """Run the dashboard on a run folder until it is detached from or ended by a signal.

    Returns:
        The process's exit code: 0 after q, 143 after SIGTERM, 129 after SIGHUP, 130 after SIGINT,
        1 where the dashboard itself failed.
    """
    terminal.log_to_file()
    partial_updates.install()
    app = DashboardApp(folder, slow=slow, theme=theme, notify=notify)
    app.run(mouse=mouse)
    return 1 if app.return_code is None else app.return_code
