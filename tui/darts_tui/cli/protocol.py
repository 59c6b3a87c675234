"""The options of `darts-tui protocol` and `recipes`."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from darts_engine.run.errors import ExitCode
from darts_engine.run.settings.config import settings
from darts_tui.cli import options
from darts_tui.cli.options import LOOK, START, AsJson, ConfigFile, Runs
from darts_tui.console.console import print_json, print_out
from darts_tui.runs.naming import DEFAULT_RUNS

PROTOCOL = "The protocol"
# The searches' epochs have an option of their own name beside those of the trainings.
PASSED_ON = [setting.key for setting in settings("search") if setting.key != "search.epochs"]

app = typer.Typer()


@app.command(rich_help_panel=START)
@options.with_settings("search", only=PASSED_ON)
def protocol(
    *,
    runs: Runs = DEFAULT_RUNS,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the protocol; its runs are NAME-search-0 and so on. The name of an "
            "interrupted protocol continues it.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Number of searches. Default: 4.", rich_help_panel=PROTOCOL
        ),
    ] = None,
    final_seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Full trainings of the best cell. Default: 3.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    search_epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of each search. Default: those of the file or recipe, else 12; of text 5.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    short_epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of each short training. Default: a sixth of a full one's, at least 5.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    train_epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of each full training. Default: those of the file or recipe, else 20; "
            "of text 24.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    held_out: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=0.9,
            help="Share of the training images that short trainings validate on. Default: 0.2.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="Runs at a time.", rich_help_panel=PROTOCOL)
    ] = 1,
    train_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Settings of the trainings, as --config.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A setting of the trainings, as in network.channels=20; may be repeated.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None,
    config: ConfigFile = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Run without this terminal: print the name and return.",
            rich_help_panel=PROTOCOL,
        ),
    ] = False,
    as_json: AsJson = False,
    given: dict[str, Any],
) -> int:
    """Search with several seeds, choose the best cell, train it fully, and report.

    Takes the options of 'search'; those of the process and the images hold for the trainings too.
    Example: darts-tui protocol --name first --seeds 4
    """
    from darts_tui.studies.protocol import run
    from darts_tui.studies.protocol_plan import ProtocolRequest

    request = ProtocolRequest(
        given=given,
        config=config,
        train_config=train_config,
        train_settings=train,
        seeds=seeds,
        final_seeds=final_seeds,
        search_epochs=search_epochs,
        short_epochs=short_epochs,
        train_epochs=train_epochs,
        held_out=held_out,
    )
    chosen = name or time.strftime("protocol-%Y%m%d-%H%M%S")
    return run(runs, chosen, request, parallel, detach=detach, as_json=as_json)


@app.command(rich_help_panel=LOOK)
def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", autocompletion=options.complete_recipe, help="Name of a recipe."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the published recipes, or explain one: its settings and their sources.

    Example: darts-tui recipes darts-cifar10
    """
    from darts_engine.run.settings.recipes import names, read

    found = [read(one) for one in ([name] if name else names())]
    if as_json:
        described = [
            {
                "name": recipe.name,
                "about": recipe.about,
                "source": recipe.source,
                "kinds": recipe.kinds,
                "settings": recipe.tables,
                "text": recipe.text,
            }
            for recipe in found
        ]
        print_json(described[0] if name else described)
        return ExitCode.OK
    if name:
        print(found[0].text, end="")
        return ExitCode.OK
    widest = max(len(recipe.name) for recipe in found)
    for recipe in found:
        print_out(f"{recipe.name:<{widest}}  {', '.join(recipe.kinds):<13}  {recipe.about}")
    return ExitCode.OK
