"""The command line's methods, spaces, bilevel and benchmark; `cli` takes them in."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from darts_engine.run.errors import ExitCode
from darts_engine.run.settings.config import settings
from darts_tui.cli import options
from darts_tui.cli.options import AsJson, ConfigFile, Runs
from darts_tui.console.console import print_json, print_out
from darts_tui.console.safe_text import clean_block
from darts_tui.runs.naming import DEFAULT_RUNS

START, LOOK = "Start", "Look"
BENCHMARK = "The benchmark"
# Methods and epochs have options of their own.
OWN = ("search.method", "search.epochs")
PASSED_ON = [setting.key for setting in settings("search") if setting.key not in OWN]

app = typer.Typer()


def complete_method(incomplete: str) -> list[str]:
    """Names of methods for the shell's completion."""
    from darts_engine.run.settings.methods import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def complete_space(incomplete: str) -> list[str]:
    """Names of spaces for the shell's completion."""
    from darts_engine.run.settings.catalog import SPACES, names

    return [name for name in names(SPACES) if name.startswith(incomplete)]


@app.command(rich_help_panel=LOOK)
def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", autocompletion=complete_method, help="One method."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the search methods, or explain one: paper, axes, defaults, and what it refuses.

    Example: darts-tui methods ms-darts
    """
    from darts_tui.commands import methods as book

    if as_json:
        found = [book.describe(one) for one in ([name] if name else book.names())]
        print_json(found[0] if name else found)
    else:
        print(book.text(book.describe(name)) if name else book.list_text())
    return ExitCode.OK


@app.command(rich_help_panel=LOOK)
def spaces(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", autocompletion=complete_space, help="One space."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the search spaces, or explain one: candidates, cells, and its supernet's size.

    Example: darts-tui spaces s1
    """
    from darts_tui.commands import spaces as book

    if as_json:
        found = [book.describe(one) for one in ([name] if name else book.names())]
        print_json(found[0] if name else found)
    else:
        # Packages name and describe spaces too.
        print(clean_block(book.text(book.describe(name)) if name else book.list_text()))
    return ExitCode.OK


@app.command(rich_help_panel=LOOK)
def bilevel(
    xi: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="Learning rate of the virtual step.")
    ] = 0.7,
    steps: Annotated[
        int, typer.Option(min=1, max=100_000, help="Steps of alpha and w in turns.")
    ] = 200,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw it, as .svg, .png or .pdf, beside first order."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Walk through the toy problem of the DARTS paper with the alpha step that searches use.

    Example: darts-tui bilevel --xi 0.7 --export bilevel.svg
    """
    from darts_tui.commands import bilevel as toy

    found = toy.walk(xi, steps)
    drawn = toy.export(found, toy.walk(0.0, steps), export) if export else None
    if as_json:
        print(toy.as_json(found))
        return ExitCode.OK
    print(toy.text(found))
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
            help="Name; its runs are NAME-METHOD-0 and so on. With the name of one that was ended, "
            "it goes on.",
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
            min=1, max=100, help="Of each method; 3 unless given.", rich_help_panel=BENCHMARK
        ),
    ] = None,
    search_epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of each search; 25 unless file or recipe say.", rich_help_panel=BENCHMARK
        ),
    ] = None,
    train: Annotated[
        bool,
        typer.Option(
            "--train/--no-train", help="Train what every search derives.", rich_help_panel=BENCHMARK
        ),
    ] = True,
    train_epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of each training; 20 unless a file says.", rich_help_panel=BENCHMARK
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="Runs at a time.", rich_help_panel=BENCHMARK)
    ] = 1,
    train_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml", help="As --config, for the trainings.", rich_help_panel=BENCHMARK
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
    """Compare methods: searches with several seeds, trainings of what they derive, one report.

    Takes the options of 'search' but its method.
    Example: darts-tui benchmark --name first --methods darts,pc-darts,ms-darts --seeds 3
    """
    from darts_tui.studies import benchmark as it

    request = it.Request(
        given=given,
        methods=it.words(methods),
        config=config,
        train_config=train_config,
        train_settings=train_setting,
        seeds=seeds,
        search_epochs=search_epochs,
        train_epochs=train_epochs,
        train=train,
    )
    chosen = name or time.strftime("benchmark-%Y%m%d-%H%M%S")
    return it.run(runs, chosen, request, parallel, as_json=as_json)
