"""The views of a run, and following a run with a printer until it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from darts_engine.run import commands, events
from darts_engine.run.errors import ExitCode, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.liveness import ENDED, observe
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold
from darts_tui.console.console import print_err, print_error
from darts_tui.launch.child_error import exit_code
from darts_tui.launch.engine_process import last_lines
from darts_tui.printing import printers
from darts_tui.runs.bounded import bound
from darts_tui.runs.naming import command

POLL_S = 0.1


class Progress(StrEnum):
    """The views of a run."""

    AUTO = "auto"
    TUI = "tui"
    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"
    QUIET = "quiet"


class Detached(Exception):  # noqa: N818 -- not an error
    """The user left; the engine goes on."""


def is_terminal() -> bool:
    """Whether stdin and stdout are a terminal, as the dashboard needs."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def chosen(progress: Progress) -> Progress:
    """The view that `auto` stands for here: the dashboard in a capable terminal, else lines."""
    if progress is not Progress.AUTO:
        return progress
    capable = os.environ.get("TERM", "") not in ("", "dumb")
    return Progress.TUI if capable and is_terminal() else Progress.PLAIN


def printer(progress: Progress, state: RunState) -> printers.Printer:
    """The printer of a view other than the dashboard; `state` is folded before each event."""
    match progress:
        case Progress.RICH:
            return printers.Bars(state)
        case Progress.JSON:
            return printers.Json()
        case Progress.QUIET:
            return printers.Quiet()
        case _:
            return printers.Plain()


def follow(
    folder: RunFolder,
    progress: Progress,
    *,
    engine: subprocess.Popen[bytes] | None = None,
    offset: int = 0,
) -> int:
    """Print a run's events until it ends. Returns the exit code of the command.

    If this launcher started the engine, the first ctrl+c makes it save a checkpoint and stop, and
    the second leaves at once. Otherwise ctrl+c leaves.

    Args:
        folder: the run.
        progress: the view, not the dashboard.
        engine: the process to wait for, when this launcher started it.
        offset: where in the event log to begin, in bytes.
    """
    state, reader = RunState(), LogReader(folder.events, offset=offset)
    view = printer(progress, state)
    try:
        with interrupts() as pressed:
            for line in live_lines(folder, state, reader, engine, pressed):
                event = reader.decode(line)
                if event is not None:
                    fold(state, event)
                view.take(line, event)
    except Detached:
        print_err(f"left; the engine goes on, come back with {command('attach', folder)}")
        return ExitCode.INTERRUPTED
    finally:
        view.close()
    if reader.damaged:
        print_err(f"{reader.damaged} damaged lines of the event log were left out")
    return outcome(folder, state, engine)


def live_lines(
    folder: RunFolder,
    state: RunState,
    reader: LogReader,
    engine: subprocess.Popen[bytes] | None,
    pressed: list[float],
) -> Iterator[bytes]:
    """Lines of the log as they are written, up to the last one.

    Args:
        folder: the run.
        state: the caller folds each line's event into it; it shows when the run is over.
        reader: of the run's log.
        engine: the process that this launcher started, if it did.
        pressed: times of ctrl+c, as `interrupts` collects them.

    Raises:
        Detached: ctrl+c leaves, see `follow`.
    """
    answered = 0
    while True:
        # Checked before reading: an engine that has ended writes nothing after what is read then.
        over = has_ended(folder, state, engine)
        before = reader.offset
        yield from reader.read_lines()
        bound(state)
        if over and reader.offset == before:
            return
        while len(pressed) > answered:
            answered += 1
            _on_interrupt(folder, engine, answered)
        if reader.offset == before:
            time.sleep(POLL_S)


def has_ended(folder: RunFolder, state: RunState, engine: subprocess.Popen[bytes] | None) -> bool:
    """Whether the run's engine has ended, so that it writes no more events.

    Args:
        folder: the run.
        state: of its log.
        engine: the process that this launcher started, if it did.
    """
    if engine is not None:
        return engine.poll() is not None
    return observe(folder, state) in (*ENDED, "dead")


def _on_interrupt(folder: RunFolder, engine: subprocess.Popen[bytes] | None, times: int) -> None:
    if engine is None or times > 1:
        raise Detached
    print_err("saving a checkpoint and stopping; ctrl+c again leaves at once")
    folder.send(commands.stamped(commands.Stop))


@contextmanager
def interrupts() -> Iterator[list[float]]:
    """Collect the times of ctrl+c, which then interrupts no line that is being printed."""
    pressed: list[float] = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(time.monotonic()))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def outcome(
    folder: RunFolder, state: RunState, engine: subprocess.Popen[bytes] | None = None
) -> int:
    """The exit code of watching a run to its end. Prints the error of a run that failed."""
    if state.failure is not None:
        return print_error(failure(folder, state.failure))
    code = exit_code(engine.returncode) if engine else ExitCode.OK
    if engine is None and observe(folder, state) == "dead":
        code = ExitCode.FAILED
    if code in (ExitCode.OK, ExitCode.REQUEUE, ExitCode.TERMINATED) or state.phase in ENDED:
        return code
    lines = last_lines(folder)
    return print_error(
        RunError(
            f"the engine of {folder.name} {_end(engine)}" + (f": {lines[-1]}" if lines else ""),
            where=str(folder.engine_log),
            remedy=f"go on from its newest checkpoint with {command('resume', folder)}",
        ),
        code,
    )


def _end(engine: subprocess.Popen[bytes] | None) -> str:
    if engine is None:
        return "is gone, and its run has not ended"
    if engine.returncode < 0:
        return f"was killed by signal {-engine.returncode}"
    return f"ended with exit code {engine.returncode}"


def failure(folder: RunFolder, event: events.RunFailed) -> RunError:
    """The engine's failure as an error, with the run's path and the command that continues it."""
    what, *rest = event.message.splitlines() or ["the run failed"]
    error = RunError(
        what,
        where=rest[0] if rest else str(folder.engine_log),
        remedy=rest[1] if len(rest) > 1 else f"then {command('resume', folder)}",
    )
    error.exit_code = event.exit_code  # type: ignore[assignment]
    return error
