"""How large a network is, counted without building it.

Derived networks are those of the DARTS paper's official code (Liu et al., arXiv 1806.09055): the
CIFAR network with its 3x3 stem and the ImageNet network with its two stems, reduction cells at one
and two thirds of the depth, batch normalisation with scale and shift, and an auxiliary head after
the second reduction cell. Multiply-adds count convolutions and linear layers in evaluation mode,
where the auxiliary head does not take part; pooling, normalisation and additions count nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from darts_engine.run.architecture import nasbench
from darts_engine.run.architecture.cost import (
    NOTHING,
    Cost,
    convolution,
    linear,
    normalisation,
    strided,
)
from darts_engine.run.architecture.genotype import DARTS, RECURRENT, Genotype
from darts_engine.run.architecture.networks import WideShape
from darts_engine.run.errors import GenotypeError


@dataclass(frozen=True)
class Size:
    """Parameters of a network, and multiply-adds of one image."""

    parameters: int
    parameters_with_auxiliary: int
    multiply_adds: int


@dataclass(frozen=True)
class Family:
    """The defaults of a network family, as in the paper; `image_size` in pixels."""

    channels: int
    layers: int
    classes: int
    image_size: int


FAMILIES = {"cifar": Family(36, 20, 10, 32), "imagenet": Family(48, 14, 1000, 224)}


def _pointwise(inputs: int, outputs: int, side: int) -> Cost:
    """1x1 convolution and normalisation.

    A factorized reduction costs the same at its output side: two convolutions with stride 2 make
    half of the channels each.
    """
    return convolution(inputs, outputs, 1, side * side).plus(normalisation(outputs))


def _depthwise_pointwise(channels: int, kernel: int, side: int) -> Cost:
    return convolution(channels, channels, kernel * kernel, side * side, groups=channels).plus(
        _pointwise(channels, channels, side)
    )


def _separable(kernel: int) -> "Operation":
    def cost(channels: int, stride: int, side: int) -> Cost:
        once = _depthwise_pointwise(channels, kernel, strided(side, stride))
        return once.plus(once)

    return cost


def _dilated(kernel: int) -> "Operation":
    def cost(channels: int, stride: int, side: int) -> Cost:
        return _depthwise_pointwise(channels, kernel, strided(side, stride))

    return cost


def _skip(channels: int, stride: int, side: int) -> Cost:
    return NOTHING if stride == 1 else _pointwise(channels, channels, strided(side, stride))


def _rows_then_columns(channels: int, stride: int, side: int) -> Cost:
    """conv_7x1_1x7: the first convolution shortens the rows only, the second the columns."""
    out = strided(side, stride)
    return convolution(channels, channels, 7, side * out).plus(
        convolution(channels, channels, 7, out * out), normalisation(channels)
    )


def _free(_channels: int, _stride: int, _side: int) -> Cost:
    return NOTHING


# (channels, stride, input side in pixels) -> cost
Operation = Callable[[int, int, int], Cost]

OPERATIONS: dict[str, Operation] = {
    "none": _free,
    "noise": _free,
    "max_pool_3x3": _free,
    "avg_pool_3x3": _free,
    "skip_connect": _skip,
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "sep_conv_7x7": _separable(7),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
    "conv_7x1_1x7": _rows_then_columns,
}


@dataclass(frozen=True)
class _State:
    """What a cell hands on: channels and side of its feature maps."""

    channels: int
    side: int


def network_size(
    genotype: Genotype,
    network: str = "cifar",
    channels: int | None = None,
    layers: int | None = None,
    classes: int | None = None,
    image_size: int | None = None,
    *,
    image_channels: int = 3,
) -> Size:
    """Count the derived network of a genotype.

    Args:
        genotype: the cells.
        network: "cifar" or "imagenet"; it decides the stem and what the other arguments default to
            (C=36, 20 cells, 10 classes, 32 pixels; C=48, 14 cells, 1000 classes, 224 pixels).
        channels: C, channels of a node in the first cell.
        layers: cells.
        classes: outputs of the classifier.
        image_size: side of the square images in pixels.
        image_channels: 3 for colour, 1 for grey.

    Genotypes of NAS-Bench-201 and NAS-Bench-101 have networks of their own, and those defaults
    (C=16, 15 cells; C=128, 9 cells; 10 classes, 32 pixels).

    Raises:
        GenotypeError: an operation that no derived network can have, an unknown network, or a
            recurrent cell (`size_recurrent.py` counts that).
    """
    if network not in FAMILIES:
        raise GenotypeError(
            f"there is no network {network!r}", remedy=f"use {' or '.join(FAMILIES)}"
        )
    if genotype.form == RECURRENT:
        raise GenotypeError(
            "the network of a recurrent cell reads text, not images",
            remedy="a recurrent cell has --width and --vocabulary",
        )
    if genotype.form != DARTS:
        if network != "cifar":
            raise GenotypeError(
                f"networks of {genotype.form} have no other stem", remedy="leave out --network"
            )
        counted = nasbench.cost(
            genotype,
            channels or nasbench.CHANNELS[genotype.form],
            layers or nasbench.LAYERS[genotype.form],
            classes or 10,
            image_size or 32,
            image_channels,
        )
        return Size(counted.parameters, counted.parameters, counted.multiply_adds)
    family = FAMILIES[network]
    width = family.channels if channels is None else channels
    depth = family.layers if layers is None else layers
    outputs = family.classes if classes is None else classes
    side = family.image_size if image_size is None else image_size

    stem = _imagenet_stem if network == "imagenet" else _cifar_stem
    total, before_last, last = stem(width, side, image_channels)
    after_reduction = network == "imagenet"
    auxiliary_channels = 0
    for place in range(depth):
        reduction = place in (depth // 3, 2 * depth // 3)
        if reduction:
            width *= 2
        cell = "reduce" if reduction else "normal"
        cost, made = _cell(genotype, cell, width, (before_last, last), after_reduction)
        total = total.plus(cost)
        before_last, last, after_reduction = last, made, reduction
        if place == 2 * depth // 3:
            auxiliary_channels = made.channels
    total = total.plus(linear(last.channels, outputs))
    auxiliary = _auxiliary(auxiliary_channels, outputs, normalised=network == "cifar")
    return Size(total.parameters, total.parameters + auxiliary.parameters, total.multiply_adds)


def wide_resnet_size(
    shape: WideShape, classes: int = 10, image_size: int = 32, *, image_channels: int = 3
) -> Size:
    """Count a wide ResNet, which has no auxiliary head.

    Args:
        shape: its depth and width.
        classes: outputs of the classifier.
        image_size: side of the square images in pixels.
        image_channels: 3 for colour, 1 for grey.
    """
    inputs, side = 16, image_size
    total = convolution(image_channels, inputs, 9, side * side)
    for group, outputs in enumerate(shape.channels):
        side = strided(side, 2 if group else 1)
        for _ in range(shape.blocks):
            total = total.plus(
                normalisation(inputs),
                convolution(inputs, outputs, 9, side * side),
                normalisation(outputs),
                convolution(outputs, outputs, 9, side * side),
            )
            if inputs != outputs:
                total = total.plus(convolution(inputs, outputs, 1, side * side))
            inputs = outputs
    total = total.plus(normalisation(inputs), linear(inputs, classes))
    return Size(total.parameters, total.parameters, total.multiply_adds)


def _cifar_stem(width: int, side: int, colours: int) -> tuple[Cost, _State, _State]:
    cost = convolution(colours, 3 * width, 9, side * side).plus(normalisation(3 * width))
    made = _State(3 * width, side)
    return cost, made, made


def _imagenet_stem(width: int, side: int, colours: int) -> tuple[Cost, _State, _State]:
    half, quarter = strided(side, 2), strided(side, 4)
    eighth = strided(side, 8)
    cost = convolution(colours, width // 2, 9, half * half).plus(
        normalisation(width // 2),
        convolution(width // 2, width, 9, quarter * quarter),
        normalisation(width),
        convolution(width, width, 9, eighth * eighth),
        normalisation(width),
    )
    return cost, _State(width, quarter), _State(width, eighth)


def _cell(
    genotype: Genotype,
    name: str,
    width: int,
    inputs: tuple[_State, _State],
    after_reduction: bool,
) -> tuple[Cost, _State]:
    """A cell on the outputs of the two cells before it, both brought to `width` channels first."""
    before_last, last = inputs
    # After a reduction the older input is twice as large; a factorized reduction halves it.
    side = last.side
    older_side = strided(before_last.side, 2) if after_reduction else before_last.side
    cost = _pointwise(before_last.channels, width, older_side).plus(
        _pointwise(last.channels, width, side)
    )
    reduction = name == "reduce"
    for edge in genotype.live_edges(name):
        if edge.operation not in OPERATIONS:
            raise GenotypeError(
                f"no derived network has the operation {edge.operation!r}",
                where=f"{name} cell, node {edge.node - 2}",
                remedy=f"there are {', '.join(OPERATIONS)}",
            )
        is_strided = reduction and edge.input < 2
        # Nodes of a reduction cell already live at half the side.
        edge_side = side if is_strided or not reduction else strided(side, 2)
        cost = cost.plus(OPERATIONS[edge.operation](width, 2 if is_strided else 1, edge_side))
    made = width * len(joined_states(genotype, name))
    return cost, _State(made, strided(side, 2) if reduction else side)


def joined_states(genotype: Genotype, cell: str) -> list[int]:
    """The states whose concatenation is a cell's output.

    A node without an input has no feature maps to give, so FairDARTS leaves it out (Chu et al.,
    arXiv 1911.12126).

    Raises:
        GenotypeError: nothing is left.
    """
    _, concat = genotype.cell(cell)
    reached = {0, 1} | {edge.node for edge in genotype.live_edges(cell)}
    joined = [state for state in concat if state in reached]
    if not joined:
        raise GenotypeError("no concatenated node has an input", where=f"{cell} cell")
    return joined


def _auxiliary(channels: int, classes: int, *, normalised: bool) -> Cost:
    """Pooling to 2x2, 1x1 to 128, 2x2 to 768, classifier.

    The ImageNet network leaves out the second normalisation, and so must a count of it.
    """
    return convolution(channels, 128, 1, 1).plus(
        normalisation(128),
        convolution(128, 768, 4, 1),
        normalisation(768) if normalised else NOTHING,
        linear(768, classes),
    )
