"""The derived network: the network of a genotype, trained from scratch.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.2 and its official code. Shapes: B batch,
C channels, H W space. The batch norms of operations have parameters; poolings have no batch norm.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.layers import operations
from darts_engine.layers.drop_path import DropPath, Noise
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.operations import NOISE, ConvNorm, FactorizedReduce
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.size import joined_states
from darts_engine.run.errors import GenotypeError

STEM_MULTIPLIER = 3


def _operation(
    name: str, channels: int, stride: int, drop_path: DropPath, position: int
) -> nn.Module:
    if name == NOISE:
        return Noise(stride, drop_path, position)
    return operations.derived_operation(name, channels, stride)


class DerivedCell(nn.Module):
    """A cell of a genotype: each node sums its edges, and some states are concatenated.

    Args:
        genotype: of the form `darts`.
        channels_before: channels of the outputs of the two cells before, the older one first.
        channels: C of every node.
        is_reduction: whether this cell halves the resolution.
        follows_reduction: whether the cell before it did.
        drop_path: of the network; applied to every edge but skips of stride 1.

    Raises:
        GenotypeError: an operation is unknown; the error lists those that are known.
    """

    def __init__(
        self,
        genotype: Genotype,
        channels_before: tuple[int, int],
        channels: int,
        *,
        is_reduction: bool,
        follows_reduction: bool,
        drop_path: DropPath,
    ) -> None:
        super().__init__()
        name = "reduce" if is_reduction else "normal"
        self.edges = genotype.live_edges(name)
        self.nodes = genotype.nodes(name)
        self.concat = joined_states(genotype, name)
        earlier = FactorizedReduce if follows_reduction else ConvNorm
        self.preprocess0 = earlier(channels_before[0], channels, affine=True)
        self.preprocess1 = ConvNorm(channels_before[1], channels, affine=True)
        try:
            self.operations = nn.ModuleList(
                _operation(
                    edge.operation,
                    channels,
                    2 if is_reduction and edge.input < 2 else 1,
                    drop_path,
                    position,
                )
                for position, edge in enumerate(self.edges)
            )
        except KeyError:
            raise unknown_operation(genotype) from None
        self.drop_path = drop_path

    def forward(self, x0: Tensor, x1: Tensor) -> Tensor:
        """Outputs of the two cells before, to (B, len(concat) * C, H', W')."""
        states: list[Tensor | None] = [
            self.preprocess0(functional.relu(x0)),
            self.preprocess1(functional.relu(x1)),
        ]
        for node in range(2, self.nodes + 2):
            total: Tensor | None = None
            for edge, operation in zip(self.edges, self.operations, strict=True):
                source = states[edge.input] if edge.node == node else None
                if source is None:
                    continue
                out = operation(source)
                if not isinstance(operation, nn.Identity):
                    out = self.drop_path(out)
                total = out if total is None else total + out
            states.append(total)
        output = [states[index] for index in self.concat]
        return torch.cat([state for state in output if state is not None], 1)


def unknown_operation(genotype: Genotype) -> GenotypeError:
    """An error that names the first operation of a genotype that has no module."""
    known = (*operations.PRIMITIVES, NOISE, "sep_conv_7x7", "conv_7x1_1x7")
    edges = genotype.edges("normal") + genotype.edges("reduce")
    name = next(edge.operation for edge in edges if edge.operation not in known)
    return GenotypeError(f"there is no operation {name!r}", remedy=f"known: {', '.join(known)}")


class AuxiliaryHead(nn.Module):
    """A second classifier at two thirds of the depth, for training only.

    DEVIATION: the official heads fit 8x8 (CIFAR) and 7x7 (ImageNet) maps only. An adaptive pooling
    brings other maps to 2x2; on those sizes the numbers are the same.

    Args:
        channels: of the cell it follows.
        classes: outputs.
        stem: "cifar" or "imagenet", whose official heads differ.
    """

    def __init__(self, channels: int, classes: int, *, stem: str) -> None:
        super().__init__()
        self.stride = 3 if stem == "cifar" else 2
        self.reduce = nn.Conv2d(channels, 128, 1, bias=False)
        self.reduce_norm = BatchNorm(128)
        self.expand = nn.Conv2d(128, 768, 2, bias=False)
        # The official ImageNet head leaves this batch norm out, by mistake as its comment says.
        self.expand_norm = BatchNorm(768) if stem == "cifar" else nn.Identity()
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to logits (B, classes)."""
        x = functional.relu(x)
        if min(x.shape[2:]) >= 5 + self.stride:
            x = functional.avg_pool2d(x, 5, self.stride, count_include_pad=False)
        x = functional.adaptive_avg_pool2d(x, 2) if x.shape[2:] != (2, 2) else x
        x = functional.relu(self.reduce_norm(self.reduce(x)))
        x = functional.relu(self.expand_norm(self.expand(x)))
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


class Network(nn.Module):
    """A stem, the cells of a genotype one after another, and a classifier.

    Args:
        genotype: of the form `darts`.
        channels: C of the first cell; doubled by each reduction cell.
        layers: cells; those at layers // 3 and 2 * layers // 3 reduce.
        in_channels: channels of the images.
        classes: outputs.
        stem: "cifar" keeps the resolution, "imagenet" divides it by 8.
        auxiliary: whether an auxiliary head follows the second reduction cell.
        seed: names the stream that weights are drawn from.

    Raises:
        GenotypeError: an operation is unknown; the error lists those that are known.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        channels: int = 36,
        layers: int = 20,
        in_channels: int = 3,
        classes: int = 10,
        stem: str = "cifar",
        auxiliary: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.drop_path = DropPath()
        self.auxiliary_layer = 2 * layers // 3
        reductions = {layers // 3, 2 * layers // 3}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.seed_of(seed, "weights"))
            if stem == "cifar":
                self.stem = _cifar_stem(in_channels, STEM_MULTIPLIER * channels)
                self.stem1 = None
                before = (STEM_MULTIPLIER * channels, STEM_MULTIPLIER * channels)
            else:
                self.stem = _imagenet_stem(in_channels, channels)
                self.stem1 = _imagenet_second_stem(channels)
                before = (channels, channels)
            self.cells = nn.ModuleList()
            self.auxiliary: AuxiliaryHead | None = None
            for layer in range(layers):
                is_reduction = layer in reductions
                if is_reduction:
                    channels *= 2
                cell = DerivedCell(
                    genotype,
                    before,
                    channels,
                    is_reduction=is_reduction,
                    follows_reduction=layer - 1 in reductions if layer else stem == "imagenet",
                    drop_path=self.drop_path,
                )
                self.cells.append(cell)
                before = (before[1], len(cell.concat) * channels)
                if auxiliary and layer == self.auxiliary_layer:
                    self.auxiliary = AuxiliaryHead(before[1], classes, stem=stem)
            self.classifier = nn.Linear(before[1], classes)

    @property
    def masks(self) -> DropPath:
        """The module whose random masks a training step draws."""
        return self.drop_path

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (B, in_channels, H, W) to logits and, in training, the auxiliary head's logits."""
        x0 = x1 = self.stem(x)
        if self.stem1 is not None:
            x1 = self.stem1(x0)
        auxiliary: Tensor | None = None
        for layer, cell in enumerate(self.cells):
            x0, x1 = x1, cell(x0, x1)
            if layer == self.auxiliary_layer and self.auxiliary is not None and self.training:
                auxiliary = self.auxiliary(x1)
        pooled = functional.adaptive_avg_pool2d(x1, 1).flatten(1)
        return self.classifier(pooled), auxiliary


def _cifar_stem(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False), BatchNorm(channels))


def _imagenet_stem(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels // 2, 3, 2, 1, bias=False),
        BatchNorm(channels // 2),
        nn.ReLU(),
        nn.Conv2d(channels // 2, channels, 3, 2, 1, bias=False),
        BatchNorm(channels),
    )


def _imagenet_second_stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1, bias=False), BatchNorm(channels)
    )
