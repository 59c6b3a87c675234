"""The command line: the arguments and options of `darts-tui` and its commands.

A command imports what it needs when it runs, so that help and completion are fast.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from darts_engine.run.errors import ConfigError, ExitCode, NotFoundError, RunError, TooLargeError
from darts_engine.run.folder import LATEST, find
from darts_tui.cli import (
    analysis,
    care,
    genotypes,
    methods,
    options,
    protocol,
    steering,
    trained,
)
from darts_tui.cli.options import (
    LOOK,
    START,
    AsJson,
    ConfigFile,
    Name,
    Nproc,
    Run,
    Runs,
    split_list,
)
from darts_tui.commands.watch import Watching
from darts_tui.console import streams
from darts_tui.console.console import (
    print_err,
    print_error,
    print_json,
    print_lost,
    print_out,
    print_usage_error,
    report_crash,
)
from darts_tui.runs.naming import DEFAULT_RUNS

DEBUG = "--debug"

EPILOG = (
    "Exit codes: 0 well, 1 failed, 2 wrong use, 3 another engine holds the run, "
    "4 refused (genotype, data, checkpoint, no engine), 5 not found, 6 a loss is not finite, "
    "7 out of memory, 8 disk full, 75 saved and to be queued again, 130 ctrl+c, 143 terminated, "
    "128 + n ended by signal n."
)

app = typer.Typer(
    name="darts-tui",
    help="Run, watch and steer differentiable architecture searches from a terminal.\n\n"
    "A run is a folder; its engine is a process that outlives this terminal. "
    "Example: darts-tui search --name first",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"darts-tui {version('darts-tui')}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
    _debug: Annotated[
        bool, typer.Option(DEBUG, help="Show tracebacks. Allowed anywhere on the line.")
    ] = False,
) -> None:
    """The options before a command."""


@app.command(rich_help_panel=START)
@options.with_settings("search")
@options.with_watching()
def search(
    *,
    runs: Runs = DEFAULT_RUNS,
    name: Name = None,
    config: ConfigFile = None,
    nproc: Nproc = 1,
    watching: Watching,
    given: dict[str, Any],
) -> int:
    """Search for an architecture.

    Example: darts-tui search --name first --epochs 50 --alpha-lr 0.01
    """
    from darts_tui.commands import start

    chosen = start.search_config(config, given)
    return start.launch(runs, name, chosen, watching, nproc)


@app.command(rich_help_panel=START)
@options.with_settings("train")
@options.with_watching()
def train(
    *,
    runs: Runs = DEFAULT_RUNS,
    name: Name = None,
    config: ConfigFile = None,
    nproc: Nproc = 1,
    operations: options.Operations = None,
    watching: Watching,
    given: dict[str, Any],
) -> int:
    """Train a network from scratch: a genotype's, or a wide ResNet.

    Examples: darts-tui train --genotype run:latest; darts-tui train --recipe wrn-sam-cifar100
    """
    from darts_tui.commands import start
    from darts_tui.runs.operations import read_operations

    chosen = start.train_config(config, given, runs, read_operations(operations))
    return start.launch(runs, name, chosen, watching, nproc)


@app.command(rich_help_panel=START)
@options.with_watching()
def resume(
    *,
    run: Run,
    runs: Runs = DEFAULT_RUNS,
    nproc: Nproc = 1,
    strict: options.Strict = False,
    watching: Watching,
) -> int:
    """Continue a paused run, or a stopped or killed one from its newest checkpoint.

    Example: darts-tui resume first
    """
    from darts_tui.commands import start

    return start.resume(find(runs, run), watching, nproc, is_strict=strict)


@app.command(rich_help_panel=LOOK)
@options.with_watching(without=["detach"])
def attach(
    *,
    run: Run = LATEST,
    runs: Runs = DEFAULT_RUNS,
    watching: Watching,
) -> int:
    """Watch a run, live or ended. Leaving never stops it.

    Example: darts-tui attach latest
    """
    from darts_tui.commands.watch import watch

    return watch(find(runs, run), watching)


@app.command(name="runs", rich_help_panel=LOOK)
def list_all(runs: Runs = DEFAULT_RUNS, as_json: AsJson = False) -> int:
    """List the runs, the newest first.

    Example: darts-tui runs --json
    """
    from darts_engine.run.folder import list_runs
    from darts_tui.commands.runs import describe, print_table

    described = [describe(folder) for folder in list_runs(runs)]
    if as_json:
        print_json(described)
        return ExitCode.OK
    if not described:
        print_err(f"there are no runs in {runs} yet; start one with 'darts-tui search'")
        return ExitCode.OK
    print_table(described)
    return ExitCode.OK


@app.command(rich_help_panel=LOOK)
def tail(
    run: Run = LATEST,
    runs: Runs = DEFAULT_RUNS,
    as_json: AsJson = False,
    first: Annotated[
        int, typer.Option("--from", metavar="SEQ", min=1, help="Start at this sequence number.")
    ] = 1,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing until the run ends.")
    ] = False,
    to: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="tensorboard DIR",
            help="Write the figures for TensorBoard, into DIR/RUN, instead of printing.",
        ),
    ] = None,
) -> int:
    """Print the events of a run, as notes or as JSON lines, or write them for TensorBoard.

    Example: darts-tui tail latest --json --from 1200 --follow
    """
    from darts_tui.commands.tail import print_log, write_log

    if to is not None:
        if as_json or first > 1:
            raise ConfigError(
                "--to writes the whole log and prints nothing of it",
                where="--json" if as_json else "--from",
                remedy="leave it out, or --to",
            )
        return write_log(find(runs, run), *to, follow=follow)
    return print_log(find(runs, run), as_json=as_json, first=first, follow=follow)


@app.command(rich_help_panel=LOOK)
def export(
    target: options.Target,
    runs: Runs = DEFAULT_RUNS,
    what: options.What = None,
    formats: options.Formats = "svg,png",
    out: options.Out = None,
    epoch: options.Epoch = None,
    operations: options.Operations = None,
    as_json: AsJson = False,
) -> int:
    """Write pictures and tables: derived cells, alphas, curves.

    Example: darts-tui export latest --what cells,alphas --format svg,pdf
    """
    from darts_tui.commands.export import export_target
    from darts_tui.runs.operations import read_operations

    report = export_target(
        target,
        runs,
        what=split_list(what or ""),
        formats=split_list(formats),
        out=out,
        epoch=epoch,
        operations=read_operations(operations),
    )
    if as_json:
        print_json(report)
        return ExitCode.OK
    for file in report["files"]:
        print_out(file)
    for message in report["messages"]:
        print_err(message)
    return ExitCode.OK


app.add_typer(genotypes.app)
app.add_typer(steering.app)
app.add_typer(protocol.app)
app.add_typer(methods.app)
app.add_typer(care.app)
app.add_typer(trained.app)
app.add_typer(analysis.app)


def run(arguments: list[str]) -> int:
    """Run a command line, and print errors on stderr. Returns the exit code."""
    debug = DEBUG in arguments
    rest = [argument for argument in arguments if argument != DEBUG]
    try:
        code = app(rest, prog_name="darts-tui", standalone_mode=False)
    except streams.OutputError as error:
        return print_lost(error)
    except RunError as error:
        if debug:
            raise
        return print_error(error)
    except typer.TyperException as error:
        return print_usage_error(error)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except MemoryError:
        if debug:
            raise
        return print_error(
            TooLargeError(
                "there is not enough memory for this command",
                remedy="end other programs, or raise the limit that 'ulimit -v' shows",
            )
        )
    except Exception as error:
        if debug:
            raise
        if isinstance(error, FileNotFoundError) and not _has_working_folder():
            return print_error(
                NotFoundError(
                    "the folder that you are in was deleted",
                    remedy="cd to another one, and run the command again",
                )
            )
        report_crash(error)
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.OK


def _has_working_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def main() -> None:
    """The entry point of `darts-tui`."""
    streams.prepare()
    code = run(sys.argv[1:])
    if (lost := streams.finish()) and not code:
        code = print_lost(lost)
    sys.exit(code)


if __name__ == "__main__":
    main()
