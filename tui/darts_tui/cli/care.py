"""The options of `darts-tui doctor`, `profile`, `bench` and `reset-terminal`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from darts_engine.run.errors import ExitCode
from darts_tui.cli import options
from darts_tui.cli.options import CARE, AsJson, ConfigFile, Runs
from darts_tui.console.console import print_err, print_json
from darts_tui.runs.naming import DEFAULT_RUNS

app = typer.Typer()


@app.command(rich_help_panel=CARE)
def doctor(runs: Runs = DEFAULT_RUNS, as_json: AsJson = False) -> int:
    """Check this machine and terminal, and print remedies. Exits with 1 if there is a problem.

    Example: darts-tui doctor
    """
    from darts_tui.commands.doctor import PROBLEM, examine, print_findings

    findings = examine(runs)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_findings(findings)
    return ExitCode.FAILED if any(f.level == PROBLEM for f in findings) else ExitCode.OK


@app.command(rich_help_panel=CARE)
@options.with_settings("search")
def profile(
    *,
    config: ConfigFile = None,
    steps: Annotated[int, typer.Option(min=1, max=99, help="Average over this many steps.")] = 3,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the trace.")] = Path(),
    as_json: AsJson = False,
    given: dict[str, Any],
) -> int:
    """Show the time and memory of each part of a search step. Takes the options of 'search'.

    Example: darts-tui profile --channels 16 --layers 8 --order 2
    """
    from darts_tui.commands.profile import profile_search
    from darts_tui.commands.start import search_config

    chosen = search_config(config, given)
    if sys.stderr.isatty():
        print_err("profiling; this takes ten seconds to a few minutes")
    report, trace = profile_search(chosen, steps, out, as_json=as_json)
    print(report)
    print_err(
        f"trace of the last step: {os.path.relpath(trace)} (open it at https://ui.perfetto.dev)"
    )
    return ExitCode.OK


@app.command(rich_help_panel=CARE)
def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only batch 16 on one thread; takes under 8 minutes.")
    ] = False,
    floor: Annotated[
        bool,
        typer.Option("--floor", help="Also measure this machine's best times for the same steps."),
    ] = False,
    methods: Annotated[
        bool,
        typer.Option(
            "--methods", help="Measure time and memory of a step of every method instead."
        ),
    ] = False,
    recurrent: Annotated[
        bool,
        typer.Option("--recurrent", help="Measure the recurrent supernet, which reads text."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Measure this supernet against a plain one, side by side, on the CPU.

    Example: darts-tui bench --quick
    """
    from darts_tui.commands.bench import bench_methods, bench_recurrent, bench_supernet

    if methods:
        return bench_methods(quick=quick, as_json=as_json)
    if recurrent:
        return bench_recurrent(quick=quick, as_json=as_json)
    return bench_supernet(quick=quick, floor=floor, as_json=as_json)


@app.command(rich_help_panel=CARE)
def reset_terminal() -> int:
    """Restore a terminal that a program left in disorder.

    Example: darts-tui reset-terminal
    """
    from darts_tui.commands.reset_terminal import reset

    return reset()
