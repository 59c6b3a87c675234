"""The supernet as the paper defines it. It is slow; `supernet.py` computes the same numbers faster.

Liu, Simonyan and Yang, DARTS: Differentiable Architecture Search, 2019, arXiv 1806.09055, sections
2.1, 2.2 and 3.1.1, with the paddings, batch norms and names of its official code. From the outside
in:

    PlainSupernet     stem, cells, classifier
    PlainCell         eq. 1: a node is the sum of one edge from every earlier state
    MixedOperation    eq. 2: an edge is the weighted sum of all candidate operations
    operation         the eight candidates, followed by the modules they are made of

Nothing is shared: each edge computes all of its candidates, poolings and `none` included. A
`state_dict` has the keys of the official code. Tests hold the numbers of `supernet.py` against this
file, and `darts-tui bench` its times.

Shapes: B batch, C channels, H height, W width, E edges of a cell, O candidate operations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.layers.operations import PRIMITIVES


class PlainSupernet(nn.Module):
    """A stem, a stack of cells, and a classifier.

    The alphas are not part of it: `forward` takes softmax(alpha).

    Args:
        names: the candidate operations of every edge, in the order of the weights' columns.
        nodes: intermediate nodes of a cell.
        channels: C of the first cell. A reduction cell doubles it.
        layers: cells. Those at layers // 3 and 2 * layers // 3 are reduction cells.
        in_channels: channels of the images.
        classes: outputs of the classifier.

    Raises:
        ValueError: a candidate has an unknown name.
    """

    def __init__(
        self,
        names: Sequence[str] = PRIMITIVES,
        nodes: int = 4,
        channels: int = 16,
        layers: int = 8,
        in_channels: int = 3,
        classes: int = 10,
    ) -> None:
        super().__init__()
        stem_channels = 3 * channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(stem_channels),
        )
        self.cells = nn.ModuleList()
        self.reductions = {layers // 3, 2 * layers // 3}
        channels_before = (stem_channels, stem_channels)
        for layer in range(layers):
            if layer in self.reductions:
                channels *= 2
            cell = PlainCell(
                names,
                nodes,
                channels_before,
                channels,
                is_reduction=layer in self.reductions,
                follows_reduction=layer - 1 in self.reductions,
            )
            self.cells.append(cell)
            channels_before = (channels_before[1], nodes * channels)
        self.classifier = nn.Linear(channels_before[1], classes)

    def forward(self, x: Tensor, normal_EO: Tensor, reduce_EO: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes).

        Args:
            x: the images.
            normal_EO: softmax(alpha) of the normal cells, which all share it.
            reduce_EO: softmax(alpha) of the reduction cells, which all share it.
        """
        x0 = x1 = self.stem(x)
        for layer, cell in enumerate(self.cells):
            weights_EO = reduce_EO if layer in self.reductions else normal_EO
            x0, x1 = x1, cell(x0, x1, weights_EO)
        logits: Tensor = self.classifier(x1.mean((2, 3)))
        return logits


class PlainCell(nn.Module):
    """A directed acyclic graph: two input states, then `nodes` nodes, each fed by all before it.

    The edges are ordered by node, then by source state: 2 into the first node, 3 into the second,
    and so on; E = 14 for 4 nodes. In a reduction cell the edges from the inputs have stride 2.

    Args:
        names: the candidate operations of every edge.
        nodes: intermediate nodes.
        channels_before: channels of the outputs of the two cells before, the older one first.
        channels: C of every node.
        is_reduction: whether this cell halves the resolution.
        follows_reduction: whether the cell before it did.
    """

    def __init__(
        self,
        names: Sequence[str],
        nodes: int,
        channels_before: tuple[int, int],
        channels: int,
        *,
        is_reduction: bool,
        follows_reduction: bool,
    ) -> None:
        super().__init__()
        self.nodes = nodes
        # After a reduction cell the older input is twice as large as the newer one.
        self.preprocess0 = (
            FactorizedReduce(channels_before[0], channels)
            if follows_reduction
            else conv_norm(channels_before[0], channels)
        )
        self.preprocess1 = conv_norm(channels_before[1], channels)
        self._ops = nn.ModuleList(
            MixedOperation(names, channels, stride=2 if is_reduction and source < 2 else 1)
            for node in range(nodes)
            for source in range(node + 2)
        )

    def forward(self, x0: Tensor, x1: Tensor, weights_EO: Tensor) -> Tensor:
        """To (B, nodes * C, H', W'): the size of x1, or half of it in a reduction cell.

        Args:
            x0: the output of the cell before the last, (B, C0, H0, W0).
            x1: the output of the last cell, (B, C1, H1, W1).
            weights_EO: softmax(alpha).
        """
        states = [self.preprocess0(x0), self.preprocess1(x1)]
        edge = 0
        for _ in range(self.nodes):
            # Eq. 1: x_j = sum over i < j of o_ij(x_i)
            first, *others = [
                self._ops[edge + i](x, weights_EO[edge + i]) for i, x in enumerate(states)
            ]
            edge += len(states)
            states.append(sum(others, first))
        return torch.cat(states[2:], 1)


class MixedOperation(nn.Module):
    """An edge: the weighted sum of all candidate operations."""

    def __init__(self, names: Sequence[str], channels: int, stride: int) -> None:
        super().__init__()
        self._ops = nn.ModuleList(operation(name, channels, stride) for name in names)

    def forward(self, x: Tensor, weights_O: Tensor) -> Tensor:
        """A state (B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
        # Eq. 2: o_ij(x) = sum over o of softmax(alpha_ij)_o * o(x)
        first, *others = [weight * op(x) for weight, op in zip(weights_O, self._ops, strict=True)]
        total: Tensor = sum(others, first)
        return total


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """A candidate of section 3.1.1, (B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride)).

    The batch norms have no scale and no shift (`affine=False`): a learned scale would undo the
    weights of eq. 2. A separable convolution is applied twice; the stride is in the first.

    Raises:
        ValueError: the name is unknown.
    """
    match name:
        case "none":
            return Zero(stride)
        case "max_pool_3x3":
            pool: nn.Module = nn.MaxPool2d(3, stride, padding=1)
            return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))
        case "avg_pool_3x3":
            pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
            return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))
        case "skip_connect":
            return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
        case "sep_conv_3x3" | "sep_conv_5x5":
            kernel = int(name[-1])
            return Stack(
                *depthwise_separable(channels, kernel, stride),
                *depthwise_separable(channels, kernel, stride=1),
            )
        case "dil_conv_3x3" | "dil_conv_5x5":
            return Stack(*depthwise_separable(channels, int(name[-1]), stride, dilation=2))
    raise ValueError(f"there is no operation {name!r}")


class Zero(nn.Module):
    """`none`: zeros of the right size, computed from x."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
        return x[:, :, :: self.stride, :: self.stride] * 0


class FactorizedReduce(nn.Module):
    """Halve the resolution by two 1x1 convolutions of stride 2, the second shifted by a pixel."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) to (B, Cout, ceil(H / 2), ceil(W / 2))."""
        x = functional.relu(x)
        # DEVIATION: the official code cannot take odd sizes. A row or column of zeros completes
        # the shifted half, as the padding of every other operation of stride 2 does.
        shifted = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        out: Tensor = self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted)], 1))
        return out


class Stack(nn.Module):
    """Modules one after another, named `op` as in the official code."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.op = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        """The output of the last module."""
        out: Tensor = self.op(x)
        return out


def conv_norm(channels_in: int, channels_out: int) -> nn.Module:
    """ReLU, 1x1 convolution, batch norm: a cell brings its inputs to its own width by it."""
    return Stack(
        nn.ReLU(),
        nn.Conv2d(channels_in, channels_out, 1, bias=False),
        nn.BatchNorm2d(channels_out, affine=False),
    )


def depthwise_separable(
    channels: int, kernel: int, stride: int, dilation: int = 1
) -> list[nn.Module]:
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""
    padding = dilation * (kernel - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=False),
    ]
