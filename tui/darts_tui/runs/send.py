"""Sends a command to a run's engine and waits a moment for its answer."""

import time

from darts_engine.run import commands, events
from darts_engine.run.commands import Command
from darts_engine.run.errors import ExitCode, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_tui.runs.naming import command
from darts_tui.runs.outcome import observed

PATIENCE_S = 5.0
POLL_S = 0.03


class NoEngineError(RunError):
    """A command was sent to a run without an engine."""

    exit_code = ExitCode.REFUSED


class RefusedError(RunError):
    """The engine refused a command."""

    exit_code = ExitCode.REFUSED


def send(folder: RunFolder, command: Command, *, patience_s: float = PATIENCE_S) -> str:
    """Send a command and return a line about its outcome.

    Args:
        folder: the run.
        command: for its engine.
        patience_s: how long to wait for the engine's answer, in seconds.

    Raises:
        NoEngineError: no engine holds the run; resume it first.
        RefusedError: the engine refused the command.
    """
    word = type(command).__name__.lower()
    if not folder.is_locked():
        _, state = observed(folder)
        raise NoEngineError(
            f"{folder.name} is {state}: there is no engine to {word}",
            where=str(folder.path),
            remedy=_remedy(folder, state),
        )
    answers = LogReader(folder.events, offset=folder.size_of(folder.events))
    folder.send(command)
    accepted = False
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        for event in answers.read():
            match event:
                case events.CommandDone(id=command.id, seconds=seconds):
                    return f"{folder.name}: {word} done after {seconds:.2f} s"
                case events.CommandRejected(id=command.id, reason=reason):
                    raise RefusedError(
                        f"{folder.name} refused to {word}: {reason}", where=str(folder.path)
                    )
                case events.CommandAccepted(id=command.id):
                    accepted = True
                    if isinstance(command, commands.Stop) and command.after_epoch:
                        return f"{folder.name}: will stop when the epoch is over"
        if not folder.is_locked() and not answers.is_behind():
            return f"{folder.name}: the engine has ended"
        time.sleep(POLL_S)
    if accepted:
        return f"{folder.name}: {word} accepted, under way"
    return f"{folder.name}: {word} sent; the engine answers when its current step is over"


def _remedy(folder: RunFolder, state: str) -> str:
    if state == "finished":
        return f"look at it with {command('attach', folder)}"
    return f"go on from its newest checkpoint with {command('resume', folder)}"
