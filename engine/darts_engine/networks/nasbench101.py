"""The networks of NAS-Bench-1Shot1 and of NAS-Bench-101, whose cells its genotypes are.

Zela et al., ICLR 2020, arXiv 2001.10422, section 3, and Ying et al., ICML 2019, arXiv 1902.09635,
section 2, each with its code. Cells are of one type and have one input; nodes hold the operations,
and edges only say what they take. Shapes: B batch, C channels, H W space, N nodes, O operations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.compute.activation_checkpoint import recomputed
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.operations import ConvNorm
from darts_engine.networks.derived import DropPath
from darts_engine.run.architecture.genotype import OUTPUT, Genotype
from darts_engine.run.architecture.nasbench import node_channels
from darts_engine.run.architecture.spaces import ONE_SHOT_OPERATIONS
from darts_engine.run.errors import GenotypeError
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork

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
    """An operation of a node.

    Raises:
        GenotypeError: there is none of that name.
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
    """The alpha matrix of a node's parents; the output is the node after the last."""
    return f"{PARENTS}{node}"


class MixedNode(nn.Module):
    """The weighted sum of a node's candidate operations."""

    def __init__(self, names: Sequence[str], channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(operation(name, channels) for name in names)

    def forward(self, x: Tensor, weights_O: Tensor, active: Sequence[int] | None = None) -> Tensor:
        """(B, C, H, W) to the same; only the `active` columns are computed, or all.

        The weights of the others, which are zero, are added as numbers for their gradient's sake.
        """
        out = torch.zeros_like(x)
        for column, (weight, compute) in enumerate(
            zip(weights_O.unbind(), self.operations, strict=True)
        ):
            is_computed = active is None or column in active
            out = out + (weight * compute(x) if is_computed else weight)
        return out


class SearchCell101(nn.Module):
    """A cell whose nodes weigh the states before them and mix their operations.

    The cell's input reaches every node, and the output, through a projection of its own. The output
    is the weighed nodes, concatenated, and the weighed projection added to them.
    """

    def __init__(self, names: Sequence[str], nodes: int, channels_in: int, channels: int) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(MixedNode(names, channels) for _ in range(nodes))
        self.projections = nn.ModuleList(
            ConvNormRelu(channels_in, channels, 1) for _ in range(nodes)
        )
        self.output = ConvNormRelu(channels_in, nodes * channels, 1)

    def forward(
        self,
        x: Tensor,
        operations_NO: Tensor,
        parents: dict[int, Tensor],
        active: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """(B, Cin, H, W) to (B, N * C, H, W).

        Args:
            x: the cell's input.
            operations_NO: each node's weights of its operations.
            parents: (1, states before it) weights, of the nodes that choose.
            active: the columns that each node computes.
        """
        made: list[Tensor] = []
        for place, node in enumerate(self.nodes):
            states = weighed([self.projections[place](x), *made], parents.get(place + 1))
            columns = None if active is None else active[place]
            made.append(node(sum_of(states), operations_NO[place], columns))
        passed, *nodes = weighed([self.output(x), *made], parents.get(len(self.nodes) + 1))
        return passed + torch.cat(nodes, 1)


def weighed(states: list[Tensor], weights: Tensor | None) -> list[Tensor]:
    """Each state times its weight, (1, states); as they are where there is nothing to choose."""
    if weights is None:
        return states
    return [weight * state for weight, state in zip(weights[0].unbind(), states, strict=True)]


class OneShotSupernet(RelaxedNetwork):
    """The relaxed network of a space of NAS-Bench-1Shot1; its alphas are shared by all cells.

    Args:
        choices: the nodes that choose parents, from 1; the output is the node after the last.
        nodes: of a cell, input and output not counted.
        channels: C of the first cell.
        layers: cells; before those at layers // 3 and 2 * layers // 3 the resolution is halved.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the streams that weights and alphas are drawn from.
        alpha_scale: standard deviation of the first alphas.
        bn_momentum: what a batch adds to the running statistics.
        names: the candidate operations.
    """

    def __init__(
        self,
        choices: Sequence[int],
        *,
        nodes: int = 4,
        channels: int = 16,
        layers: int = 9,
        in_channels: int = 3,
        classes: int = 10,
        seed: int = 0,
        alpha_scale: float = 1e-3,
        bn_momentum: float = 0.1,
        names: Sequence[str] = ONE_SHOT_OPERATIONS,
    ) -> None:
        shapes = {OPERATIONS: (nodes, len(names))} | {parents_name(n): (1, n) for n in choices}
        super().__init__(shapes, alpha_scale, seed)
        self.choices = tuple(choices)
        self.reductions = {layers // 3, 2 * layers // 3}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.seed_of(seed, "weights"))
            self.stem = ConvNormRelu(in_channels, channels, 3)
            self.cells = nn.ModuleList()
            before = channels
            for layer in range(layers):
                if layer in self.reductions:
                    channels *= 2
                self.cells.append(SearchCell101(names, nodes, before, channels))
                before = nodes * channels
            self.last = ConvNorm(before, channels, affine=False)
            self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, BatchNorm):
                module.momentum = bn_momentum

    def forward(self, x: Tensor, mixing: Mixing | Matrices | None = None) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes)."""
        mixing = Mixing.of(self.relax() if mixing is None else mixing)
        weights = mixing.weights[OPERATIONS]
        active = None if mixing.active is None else mixing.active[OPERATIONS]
        parents = {node: mixing.weights[parents_name(node)] for node in self.choices}
        x = self.stem(x)
        for layer, cell in enumerate(self.cells):
            if layer in self.reductions:
                # As in its code: a border of one pixel, so that 32 becomes 17.
                x = functional.max_pool2d(x, 2, 2, 1)
            if self.recomputes and torch.is_grad_enabled():
                x = recomputed(cell, x, weights, parents, active)
            else:
                x = cell(x, weights, parents, active)
        x = self.last(functional.relu(x))
        logits: Tensor = self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


class Module101(nn.Module):
    """A cell of NAS-Bench-101: its nodes share the output's channels out among them.

    The input reaches a node, or the output, through a projection; between nodes, surplus channels
    are cut off. What leads to the output is concatenated, and the projected input added to it.
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
            made = [states[source] for source in sources if source]
            if node == self.last:
                joined = [torch.cat(made, 1)] if made else []
                return sum_of(joined + projected)
            into = [state[:, : self.channels[node]] for state in made] + projected
            states[node] = self.operations[str(node)](sum_of(into))
        raise AssertionError("the output is a node")


def sum_of(terms: list[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    return sum(terms[1:], terms[0])


class Network101(nn.Module):
    """The network of a genotype: what NAS-Bench-101's tables are of.

    Args:
        genotype: of the form `nasbench101`.
        channels: C of the first stack; published: 128.
        layers: cells in all; published: 9.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the stream that weights are drawn from.

    Raises:
        GenotypeError: an operation is unknown, or the channels cannot be shared out.
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
