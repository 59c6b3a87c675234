"""Shapes and sizes of the networks of NAS-Bench-101 and NAS-Bench-201, without torch.

Ying et al., ICML 2019, arXiv 1902.09635, section 2; Dong and Yang, ICLR 2020, arXiv 2001.00326,
section 2; each with its code.
"""

from darts_engine.run.architecture.cost import Cost, convolution, linear, normalisation, strided
from darts_engine.run.architecture.genotype import NASBENCH101, NASBENCH201, Genotype
from darts_engine.run.errors import GenotypeError

# As published.
CHANNELS = {NASBENCH101: 128, NASBENCH201: 16}
LAYERS = {NASBENCH101: 9, NASBENCH201: 15}
# Taps of an operation's convolution; 0 where there is none.
TAPS_201 = {"none": 0, "skip_connect": 0, "avg_pool_3x3": 0, "nor_conv_1x1": 1, "nor_conv_3x3": 9}
TAPS_101 = {"maxpool3x3": 0, "conv1x1_bn_relu": 1, "conv3x3_bn_relu": 9}


def node_channels(genotype: Genotype, channels: int) -> dict[int, int]:
    """The channels of each node that leads to the output, and of the output.

    Nodes with an edge to the output share its channels; the earliest get one more if these do not
    divide evenly. Any other node has as many as the widest node that it leads to.

    Args:
        genotype: of the form `nasbench101`.
        channels: of the output.

    Raises:
        GenotypeError: there are fewer channels than nodes that share them.
    """
    edges = genotype.live_edges("cell")
    last = genotype.normal_concat[0]
    sharing = sorted(edge.input for edge in edges if edge.node == last and edge.input)
    if len(sharing) > channels:
        raise GenotypeError(
            f"{len(sharing)} nodes cannot share {channels} channels", remedy="use more --channels"
        )
    found = {last: channels}
    for place, node in enumerate(sharing):
        found[node] = channels // len(sharing) + (place < channels % len(sharing))
    for node in sorted({edge.node for edge in edges}, reverse=True):
        if node not in found:
            found[node] = max(found[e.node] for e in edges if e.input == node and e.node != last)
    return found


def cost(
    genotype: Genotype, channels: int, layers: int, classes: int, side: int, image_channels: int
) -> Cost:
    """Cost of the network of a genotype; there is no auxiliary head.

    Args:
        genotype: of the form `nasbench101` or `nasbench201`.
        channels: C of the first cell.
        layers: cells.
        classes: outputs of the classifier.
        side: of the square images in pixels.
        image_channels: 3 for colour, 1 for grey.

    Raises:
        GenotypeError: an operation that the network cannot have.
    """
    is_201 = genotype.form == NASBENCH201
    total = _normed(image_channels, channels, 9, side)
    before = channels
    for layer in range(layers):
        if layer in (layers // 3, 2 * layers // 3):
            side = strided(side, 2)
            if is_201:
                total = total.plus(_residual_block(channels, side))
                before = 2 * channels
            channels *= 2
        made = (
            _cell_201(genotype, channels, side)
            if is_201
            else _cell_101(genotype, before, channels, side)
        )
        total = total.plus(made)
        before = channels
    if is_201:
        total = total.plus(normalisation(channels))
    return total.plus(linear(channels, classes))


def _normed(inputs: int, outputs: int, taps: int, side: int) -> Cost:
    return convolution(inputs, outputs, taps, side * side).plus(normalisation(outputs))


def _residual_block(inputs: int, side: int) -> Cost:
    outputs = 2 * inputs
    return _normed(inputs, outputs, 9, side).plus(
        _normed(outputs, outputs, 9, side), convolution(inputs, outputs, 1, side * side)
    )


def _cell_201(genotype: Genotype, channels: int, side: int) -> Cost:
    total = Cost()
    for edge in genotype.live_edges("cell"):
        if taps := _taps(edge.operation, TAPS_201):
            total = total.plus(_normed(channels, channels, taps, side))
    return total


def _cell_101(genotype: Genotype, inputs: int, channels: int, side: int) -> Cost:
    widths = node_channels(genotype, channels)
    edges, total = genotype.live_edges("cell"), Cost()
    for edge in edges:
        if edge.input == 0:
            total = total.plus(_normed(inputs, widths[edge.node], 1, side))
    names = {edge.node: edge.operation for edge in edges if edge.node not in genotype.normal_concat}
    for node, name in names.items():
        if taps := _taps(name, TAPS_101):
            total = total.plus(_normed(widths[node], widths[node], taps, side))
    return total


def _taps(name: str, known: dict[str, int]) -> int:
    if name not in known:
        raise GenotypeError(
            f"no network of this form has the operation {name!r}",
            remedy=f"there are {', '.join(known)}",
        )
    return known[name]
