"""`darts-tui show` and `derive`: a genotype's cells, its text, and its network's size."""

from typing import Any

from darts_engine.run.architecture import nasbench, networks
from darts_engine.run.architecture.genotype import (
    DARTS,
    NASBENCH101,
    NASBENCH201,
    OUTPUT,
    RECURRENT,
    Genotype,
)
from darts_engine.run.architecture.networks import WideShape
from darts_engine.run.architecture.size import FAMILIES, Size, wide_resnet_size
from darts_engine.run.architecture.size_recurrent import VOCABULARY, WIDTH, recurrent_size
from darts_engine.run.errors import ConfigError

FORMS = {NASBENCH101: "NAS-Bench-101", NASBENCH201: "NAS-Bench-201"}


def describe(genotype: Genotype, size: Size) -> dict[str, Any]:
    """What `show --json` prints."""
    return {
        "genotype": genotype.to_json(),
        "text": genotype.text(),
        "parameters": size.parameters,
        "parameters_with_auxiliary": size.parameters_with_auxiliary,
        "multiply_adds": size.multiply_adds,
    }


def wide_shape(name: str, network: str, channels: int | None, layers: int | None) -> WideShape:
    """The wide ResNet of this name.

    Raises:
        ConfigError: there is none, or an option was given that only derived networks have.
    """
    if network != "cifar" or channels is not None or layers is not None:
        raise ConfigError(
            "a wide ResNet has no --network, --channels or --layers",
            remedy="its name says all: wrn-DEPTH-WIDTH",
        )
    shape = networks.parse(name)
    assert shape is not None
    return shape


def describe_wide(shape: WideShape, classes: int | None) -> dict[str, Any]:
    """What `show --json` prints for a wide ResNet, which has no auxiliary head."""
    size = wide_resnet_size(shape, classes or 10)
    return {
        "network": shape.name,
        "depth": shape.depth,
        "width": shape.width,
        "parameters": size.parameters,
        "parameters_with_auxiliary": size.parameters_with_auxiliary,
        "multiply_adds": size.multiply_adds,
    }


def wide_text(shape: WideShape, classes: int | None) -> str:
    """A wide ResNet for people."""
    size = wide_resnet_size(shape, classes or 10)
    channels = ", ".join(map(str, shape.channels))
    return (
        f"wide ResNet of depth {shape.depth} and width {shape.width}: "
        f"3 groups of {shape.blocks} blocks, {channels} channels\n"
        f"{classes or 10} classes, images of 32 x 32\n" + _counts(size)
    )


def refuse_text(width: int | None, vocabulary: int | None) -> None:
    """Refuse what only the network of a recurrent cell has.

    Raises:
        ConfigError: a width or a vocabulary was given.
    """
    if width is not None or vocabulary is not None:
        raise ConfigError(
            "only the network of a recurrent cell has --width and --vocabulary",
            remedy="leave them out; networks for images have --channels, --layers and --classes",
        )


def size_of_recurrent(
    genotype: Genotype, width: int | None, vocabulary: int | None, *, for_images: bool
) -> Size:
    """The size of a recurrent cell's network, by default as published for Penn Treebank.

    Raises:
        ConfigError: an option was given that only networks for images have.
        GenotypeError: a node has an operation that no recurrent cell has.
    """
    if for_images:
        raise ConfigError(
            "the network of a recurrent cell has no --network, --channels, --layers or --classes",
            remedy="use --width and --vocabulary",
        )
    return recurrent_size(genotype, width or WIDTH, vocabulary or VOCABULARY)


def describe_recurrent(
    genotype: Genotype, size: Size, width: int | None, vocabulary: int | None
) -> dict[str, Any]:
    """What `show --json` prints for a recurrent cell; multiply-adds are those of one token."""
    asked = {"width": width or WIDTH, "vocabulary": vocabulary or VOCABULARY}
    return describe(genotype, size) | asked


def recurrent_size_text(size: Size, width: int | None, vocabulary: int | None) -> str:
    """The network of a recurrent cell and its size, for people."""
    what = f"recurrent network, {width or WIDTH} wide, {vocabulary or VOCABULARY:,} tokens"
    return f"{what}\n" + _counts(size)


def describe_derived(genotype: Genotype) -> dict[str, Any]:
    """What `derive --json` prints: edges by strength, as published."""
    if genotype.form != DARTS:
        return genotype.to_json() | {"text": genotype.text()}
    return {
        "normal": [list(part) for part in genotype.normal],
        "reduce": [list(part) for part in genotype.reduce],
        "text": genotype.text(),
    }


def cells_text(genotype: Genotype) -> str:
    """The cells for people, a line per node."""
    if genotype.form == NASBENCH101:
        return _nodes_text(genotype)
    if genotype.form == RECURRENT:
        return _chain_text(genotype)
    lines = []
    for cell in genotype.cells:
        _, concat = genotype.cell(cell)
        if genotype.form == NASBENCH201:
            lines.append(f"{cell}, input is state 0, output is state {concat[0]}")
        else:
            lines.append(f"{cell} cell, output joins states {', '.join(map(str, concat))}")
        edges = genotype.edges(cell)
        for node in sorted({edge.node for edge in edges}):
            parts = [f"{e.operation}({e.input})" for e in edges if e.node == node]
            lines.append(f"  state {node} = " + " + ".join(parts))
    return "\n".join(lines)


def _nodes_text(genotype: Genotype) -> str:
    """A cell whose nodes compute: each node's operation, and the states it takes."""
    lines = ["cell, its nodes compute"]
    edges = genotype.edges("cell")
    for node in sorted({edge.node for edge in edges}):
        into = [edge for edge in edges if edge.node == node]
        taken = ", ".join("input" if edge.input == 0 else f"node {edge.input}" for edge in into)
        operation = into[0].operation
        what = OUTPUT if operation == OUTPUT else f"node {node} = {operation}"
        lines.append(f"  {what} <- {taken}")
    return "\n".join(lines)


def _chain_text(genotype: Genotype) -> str:
    """A recurrent cell: what each node computes of which state, and the states of its output."""
    lines = [
        "recurrent cell, node 0 is of the token x_t and the state h_{t-1}",
        *(f"  node {e.node} = {e.operation}(node {e.input})" for e in genotype.edges(RECURRENT)),
        f"  h_t = mean of nodes {', '.join(map(str, genotype.normal_concat))}",
    ]
    return "\n".join(lines)


def size_text(
    size: Size,
    form: str,
    network: str,
    channels: int | None,
    layers: int | None,
    classes: int | None,
) -> str:
    """The network and its size, for people; `form` is the genotype's."""
    family = FAMILIES[network]
    name, width, depth = f"{network} network", family.channels, family.layers
    if form != DARTS:
        name = f"network of {FORMS[form]}"
        width, depth = nasbench.CHANNELS[form], nasbench.LAYERS[form]
    what = (
        f"{name}, C={channels or width}, {layers or depth} cells, "
        f"{classes or family.classes} classes"
    )
    return f"{what}\n" + _counts(size)


def _millions(count: int) -> str:
    """A number in millions, below ten of them with two decimals."""
    return f"{count / 1e6:.{0 if count >= 1e7 else 2}f}"


def _counts(size: Size) -> str:
    lines = [f"  parameters     {size.parameters:>13,}  ({size.parameters / 1e6:.2f} M)"]
    if size.parameters_with_auxiliary != size.parameters:
        lines.append(f"  with auxiliary {size.parameters_with_auxiliary:>13,}")
    lines.append(f"  multiply-adds  {size.multiply_adds:>13,}  ({_millions(size.multiply_adds)} M)")
    return "\n".join(lines)
