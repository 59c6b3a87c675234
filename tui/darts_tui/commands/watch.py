"""From a run to the view that shows it: the dashboard or a printer."""

import subprocess
from typing import NamedTuple

from darts_engine.run.errors import ConfigError, ExitCode
from darts_engine.run.folder import RunFolder
from darts_tui.console.console import print_out
from darts_tui.printing.progress import Progress, chosen, follow, is_terminal, outcome
from darts_tui.runs.naming import command
from darts_tui.runs.summary import summarise

NOTIFY = ("none", "bell", "desktop")


class Watching(NamedTuple):
    """How the user wants to watch."""

    progress: Progress
    detach: bool
    mouse: bool
    slow: bool
    theme: str | None
    notify: str = "none"


def settled(how: Watching) -> Watching:
    """The command with `auto` settled, checked before there is an engine to leave behind.

    Raises:
        ConfigError: the dashboard is wanted where there is no terminal, or an unknown word.
    """
    if how.notify not in NOTIFY:
        raise ConfigError(
            f"there is no notification {how.notify!r}",
            where="--notify",
            remedy=f"use {', '.join(NOTIFY)}",
        )
    view = chosen(how.progress)
    if view is Progress.TUI and not how.detach and not is_terminal():
        raise ConfigError(
            "the dashboard needs a terminal, and stdin or stdout is none",
            where="--progress tui",
            remedy="use --progress plain, or --detach and attach from a terminal",
        )
    return how._replace(progress=view)


def watch(
    folder: RunFolder, how: Watching, engine: subprocess.Popen[bytes] | None = None, offset: int = 0
) -> int:
    """Show a run in the view the user wants, and give the exit code of the command.

    Args:
        folder: the run.
        how: the user's command.
        engine: the process that this launcher started, if it did.
        offset: where in the event log printers begin, in bytes.
    """
    how = settled(how)
    if how.progress is not Progress.TUI:
        return follow(folder, how.progress, engine=engine, offset=offset)
    from darts_tui.dashboard.app import watch as dashboard

    code = dashboard(folder, mouse=how.mouse, slow=how.slow, theme=how.theme, notify=how.notify)
    return code or farewell(folder)


def farewell(folder: RunFolder) -> int:
    """Say what the user leaves behind with the dashboard, and the way back to it.

    Returns:
        0, or the exit code of a run that has failed.
    """
    state, live = summarise(folder)
    match live:
        case "failed" | "dead":
            return outcome(folder, state)
        case "finished":
            print_out(
                f"{folder.name} is finished; look at it again with {command('attach', folder)}"
            )
        case "stopped":
            print_out(f"{folder.name} is stopped; go on with {command('resume', folder)}")
        case _:
            print_out(
                f"the engine of {folder.name} goes on; come back with {command('attach', folder)}"
            )
    return ExitCode.OK
