"""The options of `darts-tui evaluate`, `predict` and `export-network`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from darts_engine.run.errors import ConfigError, ExitCode
from darts_engine.run.folder import find
from darts_tui.cli import options
from darts_tui.cli.options import USE, AsJson, Runs, complete_run, split_list
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.runs.naming import DEFAULT_RUNS

app = typer.Typer()

Checkpoint = Annotated[
    str, typer.Option("--checkpoint", metavar="WHICH", help="Which of the run's: best or last.")
]
EVALUATED = (
    *("data.dataset", "data.image_size", "data.data_dir", "network.network", "network.genotype"),
    *("network.channels", "network.layers", "network.stem"),
    *("engine.device", "engine.threads", "engine.amp"),
)


def _which(checkpoint: str) -> str:
    if checkpoint not in ("best", "last"):
        raise ConfigError(f"there is no checkpoint {checkpoint!r}", remedy="use best or last")
    return checkpoint


@app.command(rich_help_panel=USE)
@options.with_settings("train", EVALUATED)
def evaluate(
    *,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            autocompletion=complete_run,
            help="A training, or a search to test its supernet. Default: the newest run.",
        ),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    checkpoint: Checkpoint = "best",
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights trained elsewhere, in the official code's layout. Their network is RUN's "
            "or that of --genotype, --channels, --layers and --stem.",
        ),
    ] = None,
    out: options.Out = None,
    formats: Annotated[
        str,
        typer.Option("--format", help="Formats of the picture: any of svg, png, pdf, with commas."),
    ] = "svg,png",
    operations: options.Operations = None,
    as_json: AsJson = False,
    given: dict[str, Any],
) -> int:
    """Test a network: loss, accuracies, each class, and the confusion matrix as a picture.

    A run's network is tested on the run's data set unless --dataset names another. The run may
    still be training.

    Example: darts-tui evaluate train-first --json
    """
    from darts_tui.commands import evaluate
    from darts_tui.runs.operations import read_operations

    picture_formats = evaluate.known_formats(split_list(formats))
    chosen = evaluate.subject(
        run, runs, weights, _which(checkpoint), given, read_operations(operations)
    )
    if sys.stderr.isatty():
        print_err(f"evaluating {chosen.name} on {chosen.config.data.dataset}")
    found = evaluate.evaluate(chosen)
    files, messages = evaluate.write(chosen, found, picture_formats, out)
    for message in messages:
        print_err(message)
    if as_json:
        print_json(evaluate.as_plain(found, files))
        return ExitCode.OK
    print(evaluate.text(chosen, found), end="\n\n")
    for file in files:
        print_out(file)
    return ExitCode.OK


@app.command(rich_help_panel=USE)
@options.with_settings("train", ("engine.device", "engine.threads"))
def predict(
    *,
    run: options.Run,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Picture files, of any size.")
    ],
    runs: Runs = DEFAULT_RUNS,
    checkpoint: Checkpoint = "best",
    top: Annotated[int, typer.Option(min=1, help="Number of labels for each picture.")] = 5,
    as_json: AsJson = False,
    given: dict[str, Any],
) -> int:
    """Label pictures with a trained network. Exits with 4 when one of them cannot be read.

    Example: darts-tui predict train-first cat.jpg dog.png
    """
    from darts_tui.commands import predict

    found = predict.predict(
        find(runs, run), images, checkpoint=_which(checkpoint), top=top, given=given
    )
    return predict.report(images, found, as_json=as_json)


@app.command(rich_help_panel=USE)
def export_network(
    run: options.Run,
    runs: Runs = DEFAULT_RUNS,
    checkpoint: Checkpoint = "best",
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Any of state-dict, torchscript, torch-export, onnx, with commas. The state "
            "dictionary is in the official code's layout. The others are programs that take "
            "pixels in 0 .. 1 and normalise them.",
        ),
    ] = "state-dict,torchscript",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the files. Default: the run's exports/ folder."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Write a trained network as files that other programs can run.

    Example: darts-tui export-network train-first --format onnx --out deploy
    """
    from darts_tui.commands.export_network import export

    checkpoint = _which(checkpoint)
    files = export(find(runs, run), split_list(formats), checkpoint=checkpoint, out=out)
    if as_json:
        print_json({"files": [str(file) for file in files]})
        return ExitCode.OK
    for file in files:
        print_out(file)
    return ExitCode.OK
