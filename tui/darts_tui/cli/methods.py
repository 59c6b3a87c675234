"""The options of `darts-tui methods`, `spaces`, `bilevel` and `benchmark`."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from darts_engine.run.errors import ExitCode
from darts_engine.run.settings.config import settings
from darts_tui.cli import options
from darts_tui.cli.options import LOOK, START, AsJson, ConfigFile, Runs, split_list
from darts_tui.console.console import print_json, print_out
from darts_tui.console.safe_text import clean_block
from darts_tui.runs.naming import DEFAULT_RUNS

BENCHMARK = "The benchmark"
# The methods and the epochs have options with other names.
OWN = ("search.method", "search.epochs")
PASSED_ON = [setting.key for setting in settings("search") if setting.key not in OWN]

app = typer.Typer()


def complete_method(incomplete: str) -> list[str]:
    """Names of methods for the shell's completion."""
    from darts_engine.run.settings.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def complete_space(incomplete: str) -> list[str]:
    """Names of spaces for the shell's completion."""
    from darts_engine.run.settings.catalog import SPACES, names

    return [name for name in names(SPACES) if name.startswith(incomplete)]


@app.command(rich_help_panel=LOOK)
def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", autocompletion=complete_method, help="Name of a method."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the search methods, or explain one: paper, axes, defaults, and what it refuses.

    Example: darts-tui methods ms-darts
    """
    from darts_tui.commands.methods import describe, list_text, names, text

    if as_json:
        found = [describe(one) for one in ([name] if name else names())]
        print_json(found[0] if name else found)
    else:
        print(text(describe(name)) if name else list_text())
    return ExitCode.OK


@app.command(rich_help_panel=LOOK)
def spaces(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", autocompletion=complete_space, help="Name of a space."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the search spaces, or explain one: candidates, cells, and its supernet's size.

    Example: darts-tui spaces s1
    """
    from darts_tui.commands.spaces import describe, list_text, names, text

    if as_json:
        found = [describe(one) for one in ([name] if name else names())]
        print_json(found[0] if name else found)
    else:
        # Packages name and describe spaces too.
        print(clean_block(text(describe(name)) if name else list_text()))
    return ExitCode.OK


@app.command(rich_help_panel=LOOK)
def bilevel(
    xi: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="Learning rate of the virtual step.")
    ] = 0.7,
    steps: Annotated[
        int, typer.Option(min=1, max=100_000, help="Alternating steps of alpha and w.")
    ] = 200,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the path, and first order's, as .svg, .png or .pdf."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Walk through the toy problem of the DARTS paper with the alpha step that searches use.

    Example: darts-tui bilevel --xi 0.7 --export bilevel.svg
    """
    from darts_tui.commands import bilevel

    found = bilevel.walk(xi, steps)
    drawn = bilevel.export(found, bilevel.walk(0.0, steps), export) if export else None
    if as_json:
        print(bilevel.as_json(found))
        return ExitCode.OK
    print(bilevel.text(found))
    if drawn:
        print_out(drawn)
    return ExitCode.OK


@app.command(rich_help_panel=START)
@options.with_settings("search", only=PASSED_ON)
def benchmark(
    *,
    runs: Runs = DEFAULT_RUNS,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the benchmark; its runs are NAME-METHOD-0 and so on. The name of an "
            "interrupted benchmark continues it.",
            rich_help_panel=BENCHMARK,
        ),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(help="Methods, separated by commas; or all.", rich_help_panel=BENCHMARK),
    ] = "",
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Seeds of each method. Default: 3.", rich_help_panel=BENCHMARK
        ),
    ] = None,
    search_epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of each search. Default: those of the file or recipe, else 25; of text 5.",
            rich_help_panel=BENCHMARK,
        ),
    ] = None,
    train: Annotated[
        bool,
        typer.Option(
            "--train/--no-train",
            help="Train the network that each search derives.",
            rich_help_panel=BENCHMARK,
        ),
    ] = True,
    train_epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of each training. Default: those of the file, else 20; of text 24.",
            rich_help_panel=BENCHMARK,
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="Runs at a time.", rich_help_panel=BENCHMARK)
    ] = 1,
    train_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Settings of the trainings, as --config.",
            rich_help_panel=BENCHMARK,
        ),
    ] = None,
    train_setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            rich_help_panel=BENCHMARK,
            help="A setting of the trainings, as in network.channels=20; may be repeated.",
        ),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    given: dict[str, Any],
) -> int:
    """Compare methods: searches with several seeds, trainings of the derived networks, a report.

    Takes the options of 'search' except --method.
    Example: darts-tui benchmark --name first --methods darts,pc-darts,ms-darts --seeds 3
    """
    from darts_tui.studies.benchmark import run
    from darts_tui.studies.benchmark_plan import BenchmarkRequest, method_names

    request = BenchmarkRequest(
        given=given,
        methods=method_names(split_list(methods)),
        config=config,
        train_config=train_config,
        train_settings=train_setting,
        seeds=seeds,
        search_epochs=search_epochs,
        train_epochs=train_epochs,
        train=train,
    )
    chosen = name or time.strftime("benchmark-%Y%m%d-%H%M%S")
    return run(runs, chosen, request, parallel, as_json=as_json)
