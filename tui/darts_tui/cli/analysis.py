"""The options of `darts-tui analyse`."""

import sys
from typing import Annotated

import typer

from darts_engine.run.errors import ConfigError, ExitCode
from darts_engine.run.folder import find
from darts_tui.cli import options
from darts_tui.cli.options import LOOK, AsJson, Runs, split_list
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.runs.naming import DEFAULT_RUNS

app = typer.Typer()


@app.command(rich_help_panel=LOOK)
def analyse(
    run: options.Run,
    runs: Runs = DEFAULT_RUNS,
    epoch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Analyse the end of this epoch, if its checkpoint is kept. Default: the newest.",
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact/--no-exact",
            help="Also compute the whole Hessian: one backward pass per entry.",
        ),
    ] = True,
    spectrum: Annotated[
        bool, typer.Option("--spectrum", help="Compute all eigenvalues of the Hessian.")
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
        str, typer.Option(help="Plane of the landscape: random or dominant (top two eigenvectors).")
    ] = "random",
    gap: Annotated[bool, typer.Option("--gap", help="Measure the discretisation gap.")] = False,
    points: Annotated[
        int,
        typer.Option(
            min=1, max=50, help="Points on each side of alpha; 5 make a plane of 11 x 11."
        ),
    ] = 5,
    radius: Annotated[
        float,
        typer.Option(min=0.0, help="Largest distance from alpha; 0 = alpha's length, at least 1."),
    ] = 0.0,
    images: Annotated[
        int, typer.Option(min=0, help="Validation images per point; 0 = the whole alpha half.")
    ] = 512,
    out: options.Out = None,
    formats: Annotated[
        str,
        typer.Option("--format", help="Formats of pictures: any of svg, png, pdf, with commas."),
    ] = "svg,png",
    as_json: AsJson = False,
) -> int:
    """Analyse how sharp the minimum in alpha is: eigenvalues of the Hessian, loss around alpha.

    Example: darts-tui analyse latest --spectrum --distance
    """
    from darts_engine.run.answers import AnalysisRequest
    from darts_tui.commands import analyse
    from darts_tui.commands.evaluate import known_formats

    picture_formats = known_formats(split_list(formats))
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
    files, messages = analyse.write(folder, found, picture_formats, out)
    for message in messages:
        print_err(message)
    if as_json:
        print_json(analyse.as_plain(found, files))
        return ExitCode.OK
    print(analyse.text(folder.name, found))
    for file in files:
        print_out(file)
    return ExitCode.OK
