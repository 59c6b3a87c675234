"""The command line's methods, spaces, bilevel and benchmark; `cli` takes them in."""

from pathlib import Path
from typing import Annotated

import typer

from darts_engine.run.errors import ExitCode
from darts_tui.options import AsJson
from darts_tui.reporting import print_json, say

START, LOOK = "Start", "Look"

app = typer.Typer()


def complete_method(incomplete: str) -> list[str]:
    """Names of methods for the shell's completion."""
    from darts_engine.run.methods import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def complete_space(incomplete: str) -> list[str]:
    """Names of spaces for the shell's completion."""
    from darts_engine.run.catalog import SPACES

    return [name for name in SPACES if name.startswith(incomplete)]


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
    from darts_tui import methods_list as book

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
    from darts_engine.run.catalog import SPACES
    from darts_tui import spaces_list as book

    if as_json:
        found = [book.describe(one) for one in ([name] if name else SPACES)]
        print_json(found[0] if name else found)
    else:
        print(book.text(book.describe(name)) if name else book.list_text())
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
    from darts_tui import bilevel as toy

    found = toy.walk(xi, steps)
    drawn = toy.export(found, toy.walk(0.0, steps), export) if export else None
    if as_json:
        print(toy.as_json(found))
        return ExitCode.OK
    print(toy.text(found))
    if drawn:
        say(drawn)
    return ExitCode.OK
