"""The networks of NAS-Bench-201: Dong and Yang, ICLR 2020, arXiv 2001.00326, section 2, and code.

There is one cell type, with one input: nodes 1 to 3 each sum an edge from every earlier state, and
the last is the output. All cells of a stage have the same width; between two stages a residual
block halves the resolution and doubles the width. `Stages` is that skeleton, which the supernet
(`supernet/nasbench201.py`) shares. Shapes: B batch, C channels, H W space.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.layers import operations
from darts_engine.layers.drop_path import DropPath
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.operations import NormalConv
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS
from darts_engine.run.errors import GenotypeError

CELL = "cell"


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (mean, then 1x1 convolution) at half the resolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = NormalConv(channels_in, channels_out, 3, 2, affine=True)
        self.second = NormalConv(channels_out, channels_out, 3, 1, affine=True)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) to (B, Cout, ceil(H / 2), ceil(W / 2))."""
        inner = self.second(functional.relu(self.first(functional.relu(x))))
        # DEVIATION: the official code cannot take odd sizes; ours rounds up like the convolution.
        mean = functional.avg_pool2d(x, 2, 2, ceil_mode=True)
        out: Tensor = inner + self.shortcut(mean)
        return out


class Stages(nn.Module):
    """The skeleton: stem, three stages of cells with residual blocks between, norm, classifier.

    Subclasses call `build` at the end of their constructor.
    """

    stem: nn.Module
    cells: nn.ModuleList
    blocks: nn.ModuleDict
    norm: BatchNorm
    classifier: nn.Linear

    def build(
        self,
        make_cell: Callable[[int], nn.Module],
        *,
        channels: int,
        layers: int,
        in_channels: int,
        classes: int,
        seed: int,
    ) -> None:
        """Make all modules.

        Args:
            make_cell: a cell of a number of channels.
            channels: C of the first stage.
            layers: cells in all; a stage ends before those at layers // 3 and 2 * layers // 3.
            in_channels: channels of the images.
            classes: outputs.
            seed: names the stream that weights are drawn from.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.seed_of(seed, "weights"))
            self.stem = nn.Sequential(
                nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False), BatchNorm(channels)
            )
            self.cells, self.blocks = nn.ModuleList(), nn.ModuleDict()
            for layer in range(layers):
                if layer in (layers // 3, 2 * layers // 3):
                    self.blocks[str(layer)] = ResidualBlock(channels, 2 * channels)
                    channels *= 2
                self.cells.append(make_cell(channels))
            self.norm = BatchNorm(channels)
            self.classifier = nn.Linear(channels, classes)

    def logits(self, x: Tensor, run_cell: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes).

        Args:
            x: the images.
            run_cell: computes a cell's output, (B, C, H', W') to the same.
        """
        x = self.stem(x)
        for layer, cell in enumerate(self.cells):
            if str(layer) in self.blocks:
                x = self.blocks[str(layer)](x)
            x = run_cell(cell, x)
        x = functional.relu(self.norm(x))
        out: Tensor = self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return out


class DerivedCell201(nn.Module):
    """A cell of a genotype; states that no path from the input reaches are not computed.

    Raises:
        GenotypeError: an operation is unknown; the error lists those that are known.
    """

    def __init__(self, genotype: Genotype, channels: int) -> None:
        super().__init__()
        self.edges = genotype.live_edges(CELL)
        self.output = genotype.normal_concat[0]
        try:
            self.operations = nn.ModuleList(
                operations.derived_operation(edge.operation, channels, 1) for edge in self.edges
            )
        except KeyError as error:
            raise GenotypeError(
                f"there is no operation {str(error.args[0])!r}",
                remedy=f"known: {', '.join(NASBENCH201_OPERATIONS)}",
            ) from None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same; zeros if no path leads to the output."""
        states: dict[int, Tensor] = {0: x}
        for edge, operation in zip(self.edges, self.operations, strict=True):
            out = operation(states[edge.input])
            states[edge.node] = states[edge.node] + out if edge.node in states else out
        return states.get(self.output, torch.zeros_like(x))


class Network201(Stages):
    """The network of a genotype, as NAS-Bench-201 trained and tabulated it.

    Args:
        genotype: of the form `nasbench201`.
        channels: C of the first stage.
        layers: cells in all; published: 15.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the stream that weights are drawn from.

    Raises:
        GenotypeError: an operation is unknown.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        channels: int = 16,
        layers: int = 15,
        in_channels: int = 3,
        classes: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.masks = DropPath()
        self.build(
            lambda width: DerivedCell201(genotype, width),
            channels=channels,
            layers=layers,
            in_channels=in_channels,
            classes=classes,
            seed=seed,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Images (B, in_channels, H, W) to logits; there is no auxiliary head."""
        return self.logits(x, lambda cell, state: cell(state)), None
