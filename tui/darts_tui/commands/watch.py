"""Opens the dashboard or a text printer on a run."""

import signal
import subprocess
from typing import NamedTuple

from darts_engine.run.errors import ConfigError, ExitCode, RunError
from darts_engine.run.folder import RunFolder
from darts_tui.console.console import print_error, print_out
from darts_tui.launch.supervisor import supervised
from darts_tui.printing.progress import Progress, chosen, follow, is_terminal, outcome
from darts_tui.runs.naming import command
from darts_tui.runs.outcome import observed

NOTIFY = ("none", "bell", "desktop")


class Watching(NamedTuple):
    """How to watch a run.

    Attributes:
        progress: the view.
        detach: return at once instead of watching.
        mouse: use the mouse in the dashboard.
        slow: redraw the dashboard once a second.
        theme: name of the dashboard's theme; None is the default.
        notify: how the dashboard notifies of alerts and the run's end, one of `NOTIFY`.
    """

    progress: Progress
    detach: bool
    mouse: bool
    slow: bool
    theme: str | None
    notify: str = "none"


def settled(watching: Watching) -> Watching:
    """The same with the view that `auto` stands for, checked before an engine is started.

    Raises:
        ConfigError: the dashboard was requested without a terminal, or a notification is unknown.
    """
    if watching.notify not in NOTIFY:
        raise ConfigError(
            f"there is no notification {watching.notify!r}",
            where="--notify",
            remedy=f"use {', '.join(NOTIFY)}",
        )
    view = chosen(watching.progress)
    if view is Progress.TUI and not watching.detach and not is_terminal():
        raise ConfigError(
            "the dashboard needs a terminal, and stdin or stdout is none",
            where="--progress tui",
            remedy="use --progress plain, or --detach and attach from a terminal",
        )
    return watching._replace(progress=view)


def watch(
    folder: RunFolder,
    watching: Watching,
    engine: subprocess.Popen[bytes] | None = None,
    offset: int = 0,
) -> int:
    """Show a run in the dashboard or with a printer. Returns the exit code of the command.

    Args:
        folder: the run.
        watching: the view and its options.
        engine: the process that this launcher started, if it did.
        offset: where in the event log printers begin, in bytes.

    Raises:
        ConfigError: the dashboard was requested without a terminal, or a notification is unknown.
    """
    watching = settled(watching)
    if watching.progress is not Progress.TUI:
        return follow(folder, watching.progress, engine=engine, offset=offset)

    def show() -> int:
        # In the child process only: the parent stays small, and forks without waiting for Textual.
        from darts_tui.dashboard.collector import uncollected

        with uncollected():
            from darts_tui.dashboard.app import watch as show_dashboard

        return show_dashboard(
            folder,
            mouse=watching.mouse,
            slow=watching.slow,
            theme=watching.theme,
            notify=watching.notify,
        )

    ending = supervised(show)
    if ending.killed_by:
        why = f"signal {ending.killed_by} ({signal.strsignal(ending.killed_by)})"
        error = RunError(
            f"the dashboard was killed by {why}; the engine is not affected",
            where=str(folder.path),
            remedy=f"come back with {command('attach', folder)}",
        )
        return print_error(error, ending.code)
    return ending.code or farewell(folder)


def farewell(folder: RunFolder) -> int:
    """Print, after the dashboard, the run's state and the command that returns to it.

    Returns:
        0, or the exit code of a run that has failed.
    """
    state, live = observed(folder)
    match live:
        case "failed" | "dead":
            return outcome(folder, state)
        case "finished" | "stopped" if live == "finished" or state.is_imported:
            print_out(f"{folder.name} is {live}; look at it again with {command('attach', folder)}")
        case "stopped":
            print_out(f"{folder.name} is stopped; go on with {command('resume', folder)}")
        case _:
            print_out(
                f"the engine of {folder.name} goes on; come back with {command('attach', folder)}"
            )
    return ExitCode.OK
