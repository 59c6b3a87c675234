"""The views of a run, and following a run with a printer until it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from enum import StrEnum

from darts_engine.run import commands, events
from darts_engine.run.errors import ExitCode, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.liveness import ENDED, observe
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold
from darts_tui.console.console import print_err, print_error
from darts_tui.console.streams import OutputError
from darts_tui.console.terminal_modes import ENDING
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


# Orders of a batch system to the run, passed on to the engine if this launcher started it.
TO_THE_ENGINE = (signal.SIGTERM, signal.SIGUSR1)


class Detached(Exception):  # noqa: N818 -- not an error
    """The user left by a signal; the engine goes on. `code` is the exit code, 128 + its number."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number


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
    the second leaves at once; SIGTERM and SIGUSR1 are passed on to it, and its exit code is this
    command's. Otherwise these leave, as do the other signals that end a program; the exit code is
    128 + the signal's number then.

    Args:
        folder: the run.
        progress: the view, not the dashboard.
        engine: the process to wait for, when this launcher started it.
        offset: where in the event log to begin, in bytes.
    """
    state, reader = RunState(), LogReader(folder.events, offset=offset)
    try:
        with received(*ENDING) as signals:
            # A view may hide the cursor, so what ends the command is collected before.
            view = printer(progress, state)
            try:
                for line in live_lines(folder, state, reader, engine, signals):
                    event = reader.decode(line)
                    if event is not None:
                        fold(state, event)
                    view.take(line, event)
            finally:
                view.close()
    except Detached as left:
        print_err(f"left; the engine goes on, come back with {command('attach', folder)}")
        return left.code
    except OutputError:
        # A terminal that is gone tells it by a signal, sooner or later than by a failed write.
        if signal.SIGHUP in signals:
            return 128 + signal.SIGHUP
        if not has_ended(folder, state, engine):
            print_err(f"the engine goes on, come back with {command('attach', folder)}")
        raise
    if reader.damaged:
        print_err(f"{reader.damaged} damaged lines of the event log were left out")
    return outcome(folder, state, engine)


def live_lines(
    folder: RunFolder,
    state: RunState,
    reader: LogReader,
    engine: subprocess.Popen[bytes] | None,
    signals: list[int],
) -> Iterator[bytes]:
    """Lines of the log as they are written, up to the last one.

    Args:
        folder: the run.
        state: the caller folds each line's event into it; it shows when the run is over.
        reader: of the run's log.
        engine: the process that this launcher started, if it did.
        signals: that came so far, as `received` collects them.

    Raises:
        Detached: a signal leaves, see `follow`.
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
        while len(signals) > answered:
            answered += 1
            _on_signal(folder, engine, signals[:answered])
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


def _on_signal(
    folder: RunFolder, engine: subprocess.Popen[bytes] | None, signals: list[int]
) -> None:
    """Act on the last of these signals."""
    number = signals[-1]
    if engine is not None and number in TO_THE_ENGINE:
        engine.send_signal(number)
        print_err(f"passed {signal.Signals(number).name} on to the engine, which saves and ends")
    elif engine is not None and number == signal.SIGINT and signals.count(number) == 1:
        print_err("saving a checkpoint and stopping; ctrl+c again leaves at once")
        folder.send(commands.stamped(commands.Stop))
    else:
        raise Detached(number)


@contextlib.contextmanager
def received(*numbers: signal.Signals) -> Iterator[list[int]]:
    """Collect these signals, which then interrupt no line that is being printed.

    What is ignored, as nohup does with SIGHUP, stays so.
    """
    signals: list[int] = []
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number in numbers if before[number] is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, lambda number, _: signals.append(number))
    try:
        yield signals
    finally:
        for number in handled:
            signal.signal(number, before[number])


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
