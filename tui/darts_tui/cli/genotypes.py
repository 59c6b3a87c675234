"""The options of `darts-tui show`, `convert`, `derive` and `import`."""

from pathlib import Path
from typing import Annotated

import typer

from darts_engine.run.errors import ExitCode
from darts_tui.cli import options
from darts_tui.cli.options import LOOK, AsJson, Name, Runs
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.runs.naming import DEFAULT_RUNS

app = typer.Typer()


@app.command(rich_help_panel=LOOK)
def show(
    genotype: options.GenotypeText,
    runs: Runs = DEFAULT_RUNS,
    network: options.NetworkKind = "cifar",
    channels: options.Channels = None,
    layers: options.Layers = None,
    classes: options.Classes = None,
    width: options.Width = None,
    vocabulary: options.Vocabulary = None,
    operations: options.Operations = None,
    as_json: AsJson = False,
) -> int:
    """Show a genotype, or a wide ResNet, and how large the network is.

    Examples: darts-tui show DARTS_V2 --network imagenet; darts-tui show wrn-34-10 --classes 100;
    darts-tui show RNN_DARTS_V2 --width 700 --vocabulary 33278
    """
    from darts_engine.run.architecture.genotype import RECURRENT
    from darts_engine.run.architecture.networks import is_wide
    from darts_engine.run.architecture.operations import refuse_unknown
    from darts_engine.run.architecture.size import network_size
    from darts_tui.commands.show import (
        cells_text,
        describe,
        describe_recurrent,
        describe_wide,
        recurrent_size_text,
        refuse_text,
        size_of_recurrent,
        size_text,
        wide_shape,
        wide_text,
    )
    from darts_tui.runs.genotypes import named
    from darts_tui.runs.operations import read_operations

    if is_wide(genotype):
        refuse_text(width, vocabulary)
        shape = wide_shape(genotype, network, channels, layers)
        if as_json:
            print_json(describe_wide(shape, classes))
        else:
            print(wide_text(shape, classes))
        return ExitCode.OK
    _, value, note = named(genotype, runs, read_operations(operations))
    if note:
        print_err(note)
    refuse_unknown(value)
    if value.form == RECURRENT:
        for_images = network != "cifar" or any(v is not None for v in (channels, layers, classes))
        size = size_of_recurrent(value, width, vocabulary, for_images=for_images)
        if as_json:
            print_json(describe_recurrent(value, size, width, vocabulary))
            return ExitCode.OK
        print(cells_text(value), value.text(), sep="\n\n", end="\n\n")
        print(recurrent_size_text(size, width, vocabulary))
        return ExitCode.OK
    refuse_text(width, vocabulary)
    size = network_size(value, network, channels, layers, classes)
    if as_json:
        print_json(describe(value, size))
        return ExitCode.OK
    print(cells_text(value), value.text(), sep="\n\n", end="\n\n")
    print(size_text(size, value.form, network, channels, layers, classes))
    return ExitCode.OK


@app.command(rich_help_panel=LOOK)
def derive(
    alphas: Annotated[
        Path,
        typer.Argument(
            metavar="ALPHAS",
            help='JSON: {"normal": 14 rows of 8 raw alphas, "reduce": the same}, {"cell": 6 rows '
            'of 5}, {"operations": rows, "parents": rows}, or {"recurrent": 36 rows of 5}; an npz '
            "of such arrays; or a log with printed alphas, of which the last are taken; - for "
            "standard input.",
        ),
    ],
    space: Annotated[
        str, typer.Option(help="Space of a normal and a reduction cell: darts or nasnet-like.")
    ] = "darts",
    as_json: AsJson = False,
) -> int:
    """Derive a genotype from raw alphas.

    Example: darts-tui derive alphas.json
    """
    from darts_tui.commands.show import describe_derived
    from darts_tui.runs.alphas import derive_file

    value, notes = derive_file(alphas, space)
    for note in notes:
        print_err(note)
    if as_json:
        print_json(describe_derived(value))
        return ExitCode.OK
    print(value.text())
    return ExitCode.OK


def _complete_form(incomplete: str) -> list[str]:
    """Names of forms for the shell's completion."""
    from darts_tui.commands.exchange.convert import FORMS

    return [name for name in FORMS if name.startswith(incomplete)]


@app.command(rich_help_panel=LOOK)
def convert(
    genotype: options.GenotypeText,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORM",
            autocompletion=_complete_form,
            help="text, json, nni, nni-hub, nasbench301, compact, mmrazor, nested, nb201 or "
            "nb201-indices.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it to a new file, not to stdout."),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    operations: options.Operations = None,
) -> int:
    """Write a genotype in the form of another program. What a form cannot hold is refused.

    Examples: darts-tui convert run:latest --to nni-hub; darts-tui convert old.log --to nasbench301
    """
    from darts_tui.commands.exchange.convert import converted, save
    from darts_tui.runs.genotypes import named
    from darts_tui.runs.operations import read_operations

    found = named(genotype, runs, read_operations(operations))
    if found.note:
        print_err(found.note)
    text = converted(found, to)
    if out is None:
        print(text)
    else:
        save(text, out)
        print_out(out)
    return ExitCode.OK


@app.command(name="import", rich_help_panel=LOOK)
def import_log(
    log: Annotated[
        Path,
        typer.Argument(metavar="LOG", help="log.txt of an official code, or - for standard input."),
    ],
    name: Name = None,
    runs: Runs = DEFAULT_RUNS,
) -> int:
    """Make a run of the log of an official code, to watch, scrub, export and compare.

    Example: darts-tui import search-EXP-20190508/log.txt --name old
    """
    from darts_tui.commands.exchange import import_log as importing

    folder, notes = importing.import_log(log, name, runs)
    for note in notes:
        print_err(note)
    print_out(folder.name)
    return ExitCode.OK
