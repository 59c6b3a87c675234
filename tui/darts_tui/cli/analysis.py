"""The command line's commands that look at a search's minimum; `cli` takes them in."""

import sys
from typing import Annotated

import typer

from darts_engine.run.errors import ConfigError, ExitCode
from darts_engine.run.folder import find
from darts_tui.cli import options
from darts_tui.cli.options import AsJson, Runs
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.runs.naming import DEFAULT_RUNS

app = typer.Typer()


@app.command(rich_help_panel="Look")
def analyse(
    run: options.Run,
    runs: Runs = DEFAULT_RUNS,
    epoch: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of the end of this epoch, if its checkpoint is kept; the newest."
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact/--no-exact", help="Also compute the whole Hessian: a backward pass an entry."
        ),
    ] = True,
    spectrum: Annotated[
        bool, typer.Option("--spectrum", help="All eigenvalues of the Hessian.")
    ] = False,
    distance: Annotated[
        bool,
        typer.Option(
            "--distance",
            help="Validation loss along lines through alpha: the dominant direction, random ones, "
            "and back to the first epoch's alpha.",
        ),
    ] = False,
    landscape: Annotated[
        bool, typer.Option("--landscape", help="Validation loss in a plane through alpha.")
    ] = False,
    plane: Annotated[
        str, typer.Option(help="Of the landscape: random or dominant (top two eigenvectors).")
    ] = "random",
    gap: Annotated[bool, typer.Option("--gap", help="The discretisation gap.")] = False,
    points: Annotated[
        int, typer.Option(min=1, max=50, help="On each side of alpha; 5 make a plane of 11 x 11.")
    ] = 5,
    radius: Annotated[
        float,
        typer.Option(min=0.0, help="How far to go from alpha; 0 = its own length, at least 1."),
    ] = 0.0,
    images: Annotated[
        int, typer.Option(min=0, help="Validation images per point; 0 = the whole alpha half.")
    ] = 512,
    out: options.Out = None,
    formats: Annotated[
        str, typer.Option("--format", help="Of pictures: any of svg, png, pdf, with commas.")
    ] = "svg,png",
    as_json: AsJson = False,
) -> int:
    """How sharp the minimum in alpha is: eigenvalues of the Hessian, and the loss around alpha.

    Example: darts-tui analyse latest --spectrum --distance
    """
    from darts_engine.run.answers import AnalysisRequest
    from darts_tui.commands import analyse
    from darts_tui.commands.evaluate import picture_formats

    words = picture_formats(formats)
    if plane not in analyse.PLANES:
        raise ConfigError(f"there is no plane {plane!r}", remedy="use random or dominant")
    folder = find(runs, run)
    config = analyse.search_of(folder)
    if sys.stderr.isatty():
        print_err(f"analysing {folder.name}; --no-exact is faster")
    found = analyse.analyse(
        folder,
        config,
        AnalysisRequest(
            epoch=epoch,
            exact=exact,
            spectrum=spectrum,
            distance=distance,
            landscape=plane if landscape else "",
            gap=gap,
            points=points,
            radius=radius,
            images=images,
        ),
    )
    files, messages = analyse.write(folder, found, words, out)
    for message in messages:
        print_err(message)
    if as_json:
        print_json(analyse.as_plain(found, files))
        return ExitCode.OK
    print(analyse.text(folder.name, found))
    for file in files:
        print_out(file)
    return ExitCode.OK


@app.command(rich_help_panel="Steer")
def discretise(run: options.Run, runs: Runs = DEFAULT_RUNS) -> int:
    """Measure a search's discretisation gap at its next step; 'tail' and the dashboard tell it.

    Example: darts-tui discretise latest
    """
    from darts_engine.run.commands import Discretise, stamped
    from darts_tui.runs.send import send

    print_out(send(find(runs, run), stamped(Discretise), patience_s=60.0))
    return ExitCode.OK
