"""The networks of NAS-Bench-201: Dong and Yang, ICLR 2020, arXiv 2001.00326, section 2, and code.

One cell type with one input: nodes 1 to 3 sum an edge from every earlier state, and the last is the
output. All cells of a stage have the same width; a residual block halves the resolution and doubles
the width between stages. Shapes: B batch, C channels, H W space, E edges, O operations.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.compute.activation_checkpoint import recomputed
from darts_engine.layers import operations
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.operations import AVG_POOL, SKIP, NormalConv
from darts_engine.networks.derived import DropPath
from darts_engine.run.architecture.derivation_one_cell import edges_of
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS
from darts_engine.run.errors import GenotypeError
from darts_engine.supernet.cell import MixedEdge, SourceFeatures
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork
from darts_engine.supernet.stochastic import StochasticOps

CELL = "cell"


class ResidualBlock(nn.Module):
    """Two convolutions beside a mean and a 1x1 convolution: half the resolution."""

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
    """Stem, cells with two residual blocks among them, norm, pooling, classifier."""

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
        """Make all parts; `make_cell` makes a cell of so many channels."""
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

    def logits(self, x: Tensor, through: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        """Images to logits (B, classes); `through` takes a state through a cell."""
        x = self.stem(x)
        for layer, cell in enumerate(self.cells):
            if str(layer) in self.blocks:
                x = self.blocks[str(layer)](x)
            x = through(cell, x)
        x = functional.relu(self.norm(x))
        out: Tensor = self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return out


class SearchCell201(nn.Module):
    """A cell whose edges are mixed; what edges from one state share is computed once."""

    def __init__(
        self,
        names: Sequence[str],
        nodes: int,
        channels: int,
        stochastic: StochasticOps,
        *,
        auxiliary_skip: bool,
    ) -> None:
        super().__init__()
        self.ends = edges_of(nodes)
        self.nodes, self.names = nodes, tuple(names)
        # Pooling has no norm here, unlike in a cell of DARTS's.
        self.edges = nn.ModuleList(
            MixedEdge(names, channels, 1, stochastic, auxiliary_skip=auxiliary_skip)
            for _ in self.ends
        )

    def forward(
        self, x: Tensor, weights_EO: Tensor, active: Sequence[Sequence[int]] | None = None
    ) -> Tensor:
        """(B, C, H, W) to the same."""
        states = [x]
        features = [self._features(x)]
        edge = 0
        for node in range(1, self.nodes + 1):
            into: list[Tensor] = []
            for source in features:
                columns = None if active is None else active[edge]
                into.append(self.edges[edge](source, weights_EO[edge], columns))
                edge += 1
            states.append(sum(into[1:], into[0]))
            if node < self.nodes:
                features.append(self._features(states[-1]))
        return states[-1]

    def _features(self, x: Tensor) -> SourceFeatures:
        shared = {SKIP: x}
        if AVG_POOL in self.names:
            shared[AVG_POOL] = operations.avg_pool(x, 1)
        return SourceFeatures(functional.relu(x), shared, None)


class Supernet201(RelaxedNetwork, Stages):
    """The relaxed network; its one (E, O) alpha is shared by all cells.

    Args:
        names: the candidate operations of every edge, in alpha's column order.
        nodes: of a cell, its input not counted.
        channels: C of the first stage.
        layers: cells in all.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the streams that weights and alphas are drawn from.
        alpha_scale: standard deviation of the first alphas.
        auxiliary_skip: every edge has a skip beside its candidates (DARTS-).
    """

    def __init__(
        self,
        names: Sequence[str] = NASBENCH201_OPERATIONS,
        *,
        nodes: int = 3,
        channels: int = 16,
        layers: int = 15,
        in_channels: int = 3,
        classes: int = 10,
        seed: int = 0,
        alpha_scale: float = 1e-3,
        auxiliary_skip: bool = False,
    ) -> None:
        super().__init__({CELL: (len(edges_of(nodes)), len(names))}, alpha_scale, seed)
        self.build(
            lambda width: SearchCell201(
                names, nodes, width, self.stochastic, auxiliary_skip=auxiliary_skip
            ),
            channels=channels,
            layers=layers,
            in_channels=in_channels,
            classes=classes,
            seed=seed,
        )

    def forward(self, x: Tensor, mixing: Mixing | Matrices | None = None) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes)."""
        mixing = Mixing.of(self.relax() if mixing is None else mixing)
        weights = mixing.weights[CELL]
        active = None if mixing.active is None else mixing.active[CELL]

        def through(cell: nn.Module, state: Tensor) -> Tensor:
            if self.recomputes and torch.is_grad_enabled():
                return recomputed(cell, state, weights, active)
            out: Tensor = cell(state, weights, active)
            return out

        return self.logits(x, through)


class DerivedCell201(nn.Module):
    """A cell of a genotype. A state that nothing leads to is left out."""

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
    """The network of a genotype: what the benchmark's tables are of.

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
