"""The networks of NAS-Bench-101, which are also those of a search with NAS-Bench-1Shot1.

Ying et al., ICML 2019, arXiv 1902.09635, section 2, and its code. There is one cell type, with one
input. The nodes hold the operations; the edges only connect them. The names of the alpha matrices
are here because the space and the supernet (`supernet/oneshot.py`) share them. Shapes: B batch,
C channels, H W space.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.layers.drop_path import DropPath
from darts_engine.layers.norm import BatchNorm
from darts_engine.run.architecture.genotype import OUTPUT, Genotype
from darts_engine.run.architecture.nasbench import node_channels
from darts_engine.run.architecture.spaces import ONE_SHOT_OPERATIONS
from darts_engine.run.errors import GenotypeError

OPERATIONS, PARENTS = "operations", "parents"


class ConvNormRelu(nn.Module):
    """Convolution, batch norm with scale and shift, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, 1, kernel // 2, bias=False)
        self.norm = BatchNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) to (B, Cout, H, W)."""
        return functional.relu(self.norm(self.conv(x)))


class MaxPool(nn.Module):
    """3x3 maximum at the same resolution."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return functional.max_pool2d(x, 3, 1, 1)


def operation(name: str, channels: int) -> nn.Module:
    """The operation of a node, (B, C, H, W) to the same.

    Raises:
        GenotypeError: the name is unknown; the error lists those that are known.
    """
    if name == "maxpool3x3":
        return MaxPool()
    kernels = {"conv3x3_bn_relu": 3, "conv1x1_bn_relu": 1}
    if name not in kernels:
        raise GenotypeError(
            f"there is no operation {name!r}", remedy=f"known: {', '.join(ONE_SHOT_OPERATIONS)}"
        )
    return ConvNormRelu(channels, channels, kernels[name])


def parents_name(node: int) -> str:
    """The name of the alpha matrix of a node's parents; the output is the node after the last."""
    return f"{PARENTS}{node}"


class Module101(nn.Module):
    """A cell of NAS-Bench-101: its nodes divide the channels of the output among them.

    The input reaches a node, or the output, through a projection. An edge between two nodes cuts
    off the channels that the second does not have. The output concatenates the nodes that lead to
    it, and adds the projected input.

    Args:
        genotype: of the form `nasbench101`.
        channels_in: channels of the cell's input.
        channels: C of its output.

    Raises:
        GenotypeError: an operation is unknown, or the channels cannot be divided.
    """

    def __init__(self, genotype: Genotype, channels_in: int, channels: int) -> None:
        super().__init__()
        edges = genotype.live_edges("cell")
        self.last = genotype.normal_concat[0]
        self.parents = {
            node: [edge.input for edge in edges if edge.node == node]
            for node in sorted({edge.node for edge in edges})
        }
        self.channels = node_channels(genotype, channels)
        names = {edge.node: edge.operation for edge in edges}
        self.operations = nn.ModuleDict(
            {
                str(node): operation(names[node], self.channels[node])
                for node in self.parents
                if names[node] != OUTPUT
            }
        )
        self.projections = nn.ModuleDict(
            {
                str(node): ConvNormRelu(channels_in, self.channels[node], 1)
                for node, sources in self.parents.items()
                if 0 in sources
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) to (B, C, H, W)."""
        states: dict[int, Tensor] = {}
        for node, sources in self.parents.items():
            projected = [self.projections[str(node)](x)] if 0 in sources else []
            earlier = [states[source] for source in sources if source]
            if node == self.last:
                joined = [torch.cat(earlier, 1)] if earlier else []
                return sum_of(joined + projected)
            inputs = [state[:, : self.channels[node]] for state in earlier] + projected
            states[node] = self.operations[str(node)](sum_of(inputs))
        raise AssertionError("the output is a node")


def sum_of(terms: list[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    return sum(terms[1:], terms[0])


class Network101(nn.Module):
    """The network of a genotype, as NAS-Bench-101 trained and tabulated it.

    Args:
        genotype: of the form `nasbench101`.
        channels: C of the first stack; published: 128.
        layers: cells in all; published: 9.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the stream that weights are drawn from.

    Raises:
        GenotypeError: an operation is unknown, or the channels cannot be divided.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        channels: int = 128,
        layers: int = 9,
        in_channels: int = 3,
        classes: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.masks = DropPath()
        self.reductions = {layers // 3, 2 * layers // 3} if layers > 2 else set()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.seed_of(seed, "weights"))
            self.stem = ConvNormRelu(in_channels, channels, 3)
            self.cells = nn.ModuleList()
            before = channels
            for layer in range(layers):
                if layer in self.reductions:
                    channels *= 2
                self.cells.append(Module101(genotype, before, channels))
                before = channels
            self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Images (B, in_channels, H, W) to logits; there is no auxiliary head."""
        x = self.stem(x)
        for layer, cell in enumerate(self.cells):
            if layer in self.reductions:
                x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
            x = cell(x)
        return self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1)), None
