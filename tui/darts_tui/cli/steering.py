"""The options of `darts-tui pause`, `checkpoint`, `stop` and `discretise`."""

from pathlib import Path
from typing import Annotated

import typer

from darts_engine.run.commands import Checkpoint, Command, Discretise, Pause, Stop, stamped
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import find
from darts_tui.cli.options import STEER, Run, Runs
from darts_tui.console.console import print_out
from darts_tui.runs.naming import DEFAULT_RUNS
from darts_tui.runs.send import PATIENCE_S, send

# A measurement of the discretisation gap may take a minute.
MEASURING_S = 60.0

app = typer.Typer()


@app.command(rich_help_panel=STEER)
def pause(run: Run, runs: Runs = DEFAULT_RUNS) -> int:
    """Pause a run at its next step; 'resume' continues it.

    Example: darts-tui pause latest
    """
    return _send(runs, run, stamped(Pause))


@app.command(rich_help_panel=STEER)
def checkpoint(run: Run, runs: Runs = DEFAULT_RUNS) -> int:
    """Save a checkpoint at the next step, and keep it.

    Example: darts-tui checkpoint latest
    """
    return _send(runs, run, stamped(Checkpoint))


@app.command(rich_help_panel=STEER)
def stop(
    run: Run,
    runs: Runs = DEFAULT_RUNS,
    after_epoch: Annotated[
        bool, typer.Option("--after-epoch", help="Finish the current epoch first.")
    ] = False,
) -> int:
    """Save a checkpoint and end the engine; 'resume' continues from there.

    Example: darts-tui stop latest --after-epoch
    """
    return _send(runs, run, stamped(Stop, after_epoch=after_epoch))


@app.command(rich_help_panel=STEER)
def discretise(run: Run, runs: Runs = DEFAULT_RUNS) -> int:
    """Measure a search's discretisation gap at its next step; 'tail' and the dashboard show it.

    Example: darts-tui discretise latest
    """
    return _send(runs, run, stamped(Discretise), patience_s=MEASURING_S)


def _send(runs: Path, run: str, command: Command, patience_s: float = PATIENCE_S) -> int:
    print_out(send(find(runs, run), command, patience_s=patience_s))
    return ExitCode.OK
