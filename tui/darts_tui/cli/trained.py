"""The options of `darts-tui evaluate`, `predict` and `export-network`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from darts_engine.run.errors import ConfigError, ExitCode
from darts_engine.run.folder import find
from darts_engine.run.settings.search_on_text import reads_text
from darts_tui.cli import options
from darts_tui.cli.options import USE, AsJson, Runs, complete_run, split_list
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.runs.naming import DEFAULT_RUNS

app = typer.Typer()

PARTS = ("train", "valid", "test")
PICTURES = "svg,png"
TOP = 5
Checkpoint = Annotated[
    str, typer.Option("--checkpoint", metavar="WHICH", help="Which of the run's: best or last.")
]
EVALUATED = (
    *("data.dataset", "data.image_size", "data.data_dir", "network.network", "network.genotype"),
    *("network.channels", "network.layers", "network.stem"),
    *("text.width", "text.tokens", "text.vocabulary", "text.bptt", "text.eval_batch"),
    *("engine.device", "engine.threads", "engine.amp"),
)


def _which(checkpoint: str) -> str:
    if checkpoint not in ("best", "last"):
        raise ConfigError(f"there is no checkpoint {checkpoint!r}", remedy="use best or last")
    return checkpoint


def _part(name: str) -> str:
    if name not in PARTS:
        raise ConfigError(f"there is no part {name[:60]!r}", remedy=f"use {', '.join(PARTS)}")
    return name


def _refuse(given: dict[str, Any], why: str) -> None:
    """Refuse options that have no meaning for the network, if they were given."""
    for name, value in given.items():
        if value:
            raise ConfigError(f"{name} {why}", remedy=f"leave out {name}")


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
            "or that of --genotype, --channels, --layers and --stem, or of text --width.",
        ),
    ] = None,
    out: options.Out = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Formats of the picture: any of svg, png, pdf, with commas. Default: svg,png.",
        ),
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="PART", help="Text: train, valid or test. Default: test.")
    ] = None,
    official_division: Annotated[
        bool,
        typer.Option(
            "--official-division",
            help="Text: divide the loss as the official code does, by one token too many.",
        ),
    ] = False,
    operations: options.Operations = None,
    as_json: AsJson = False,
    given: dict[str, Any],
) -> int:
    """Test a network: loss, accuracies, each class, and the confusion matrix as a picture.

    Of a network that reads text, the loss and the perplexity per predicted token. A run's network
    is tested on the run's data set unless --dataset names another. The run may still be training.

    Example: darts-tui evaluate train-first --json
    """
    from darts_tui.commands import evaluate, evaluate_text
    from darts_tui.runs.operations import read_operations

    picture_formats = evaluate.known_formats(split_list(formats or PICTURES))
    chosen = evaluate.subject(
        run, runs, weights, _which(checkpoint), given, read_operations(operations)
    )
    on_text = reads_text(chosen.config)
    if on_text:
        _refuse({"--format": formats, "--out": out}, "is of the pictures' confusion matrix")
    else:
        _refuse({"--part": part, "--official-division": official_division}, "is of text")
    if sys.stderr.isatty():
        print_err(f"evaluating {chosen.name} on {chosen.config.data.dataset}")
    if on_text:
        of_text = evaluate_text.evaluate(
            chosen, _part(part or "test"), official_division=official_division
        )
        if as_json:
            print_json(evaluate_text.as_plain(of_text))
        else:
            print(evaluate_text.text(chosen, of_text))
        return ExitCode.OK
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
        list[Path] | None,
        typer.Argument(metavar="IMAGE...", help="Picture files, of any size; none of text."),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    checkpoint: Checkpoint = "best",
    top: Annotated[
        int | None, typer.Option(min=1, help=f"Number of labels for each picture. Default: {TOP}.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Text: words or characters to go on from.")
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Text: tokens that are added. Default: 40."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Text: below 1, likely tokens become likelier; 0 takes the likeliest. Default: 1.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Text: seed of what is drawn. Default: 0."),
    ] = None,
    as_json: AsJson = False,
    given: dict[str, Any],
) -> int:
    """Label pictures with a trained network, or continue a text with one.

    Exits with 4 when a picture cannot be read.
    Example: darts-tui predict train-first cat.jpg dog.png
    Example: darts-tui predict train-text --prompt "and it came to pass" --seed 3
    """
    from darts_tui.commands import predict, predict_text

    folder = find(runs, run)
    asked = predict_text.Asked(prompt, length, temperature, seed)
    if predict_text.is_asked(folder, asked, has_images=bool(images), has_top=top is not None):
        continued = predict_text.continued(
            folder, asked, checkpoint=_which(checkpoint), given=given
        )
        return predict_text.report(continued, as_json=as_json)
    found = predict.predict(
        folder, images or [], checkpoint=_which(checkpoint), top=top or TOP, given=given
    )
    return predict.report(images or [], found, as_json=as_json)


@app.command(rich_help_panel=USE)
def export_network(
    run: options.Run,
    runs: Runs = DEFAULT_RUNS,
    checkpoint: Checkpoint = "best",
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Any of state-dict, torchscript, torch-export, onnx, hub, with commas. The state "
            "dictionary is in the official code's layout; hub is a folder for Hugging Face. The "
            "others are programs that take pixels in 0 .. 1 and normalise them, or of text one "
            "token after another.",
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
    written = export(find(runs, run), split_list(formats), checkpoint=checkpoint, out=out)
    if as_json:
        print_json({"files": [str(f) for f in written.files], "messages": written.messages})
        return ExitCode.OK
    for file in written.files:
        print_out(file)
    for message in written.messages:
        print_err(message)
    return ExitCode.OK
