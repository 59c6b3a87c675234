"""Steering one run: check the user's requests, send them to the engine, show the results."""

from typing import Protocol

from darts_engine.run import commands, events
from darts_engine.run.errors import RunError
from darts_engine.run.folder import RunFolder
from darts_tui.dashboard.export_process import ExportFailedError, export
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.pending_commands import PendingCommands
from darts_tui.dashboard.screens.stop import Answer

PAUSING, RESUMING, STOPPING, MEASURING = "pausing", "resuming", "stopping", "measuring"


class Watcher(Protocol):
    """The app that shows the run."""

    @property
    def is_running(self) -> bool:
        """Whether the app still has a screen."""

    def view(self) -> View:
        """The run as it is now."""

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a toast."""

    def redraw_soon(self) -> None:
        """Show the run again."""


class Steering:
    """The user's requests to one run's engine. An impossible request causes a message.

    Args:
        folder: the run.
        watcher: the app.
    """

    def __init__(self, folder: RunFolder, watcher: Watcher) -> None:
        self._folder, self._watcher = folder, watcher
        self._pending = PendingCommands(folder, self._show_failure)

    @property
    def pending(self) -> str:
        """The word for the newest command that is not acknowledged, as in "pausing"; or empty."""
        return self._pending.newest

    @property
    def is_measuring(self) -> bool:
        """Whether a measurement of the discretisation gap is pending."""
        return self._pending.has(MEASURING)

    def take_event(self, event: events.AnyEvent) -> None:
        """Forget the command that this event acknowledges, if it is one that does."""
        if isinstance(event, events.CommandDone | events.CommandRejected):
            self._pending.acknowledge(event.id)

    def end(self) -> None:
        """Forget all commands: the run is over."""
        self._pending.clear()

    def pause(self) -> None:
        """Pause a running engine, resume a paused one."""
        if not self.is_possible("pause"):
            return
        if self._pending.has(PAUSING):
            self._watcher.show_message("A pause is already asked for.")
        elif self._watcher.view().live == "paused":
            self._send(commands.stamped(commands.Resume), RESUMING)
        else:
            self._send(commands.stamped(commands.Pause), PAUSING)

    def checkpoint(self) -> None:
        """Request a checkpoint at the next step."""
        if self.is_possible("save"):
            self._send(commands.stamped(commands.Checkpoint))
            self._watcher.show_message("A checkpoint is asked for.")

    def discretise(self) -> None:
        """Request the discretisation gap at the next step."""
        if self._watcher.view().is_training:
            self._watcher.show_message("A training has no alpha to discretise.")
        elif self.is_measuring:
            self._watcher.show_message("The gap is being measured.")
        elif self.is_possible("measure"):
            self._send(commands.stamped(commands.Discretise), MEASURING)

    def stop(self, answer: Answer) -> None:
        """Stop as the stop dialog was answered; None is not at all."""
        # The run may have ended while the dialog was open.
        if answer is None or not self.is_possible("stop"):
            return
        command = commands.stamped(commands.Stop, after_epoch=answer == "epoch")
        self._send(command, STOPPING if answer == "now" else "")
        if answer == "epoch":
            epoch = self._watcher.view().state.epoch
            self._watcher.show_message(f"The engine will stop after epoch {epoch}.")

    def is_possible(self, verb: str) -> bool:
        """Whether the engine takes commands; if not, a message says why it cannot `verb`."""
        view = self._watcher.view()
        if view.is_over:
            self._watcher.show_message(
                f"The run is {view.live}: there is nothing to {verb}.", "warning"
            )
            return False
        if view.live == "starting" and view.state.download is None:
            self._watcher.show_message(
                f"The engine is still starting: it cannot {verb} yet.", "warning"
            )
            return False
        return True

    async def export(self, epoch: int | None) -> None:
        """Draw cells, alphas and curves in a child process, as of `epoch` or of now."""
        if self._watcher.view().state.started is None:
            self._watcher.show_message("There is nothing to export yet.", "warning")
            return
        self._watcher.show_message("Exporting ...")
        try:
            files, messages = await export(self._folder, epoch)
        except ExportFailedError as error:
            self._watcher.show_message(f"Export failed: {error}", "error")
            return
        for message in messages:
            self._watcher.show_message(message, "warning")
        if files:
            self._watcher.show_message(f"{len(files)} files in {self._folder.exports}")

    def _send(self, command: commands.Command, word: str = "") -> None:
        self._pending.send(command, word)
        self._watcher.redraw_soon()

    def _show_failure(self, error: RunError) -> None:
        if self._watcher.is_running:
            self._watcher.show_message(f"{error.what} ({error.where})", "error")
