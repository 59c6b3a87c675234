"""The DARTS CNN space: Liu et al., 2019, arXiv 1806.09055, section 3.1.1.

Two cell types shared by all layers; node i has an edge from every state before it; every edge has
the same eight candidates.
"""

from torch import Tensor

from darts_engine.operations import PRIMITIVES
from darts_engine.run import derivation
from darts_engine.run.config import SearchConfig
from darts_engine.run.events import CellLayout
from darts_engine.run.genotype import CELLS, Genotype
from darts_engine.supernet import Supernet


class DARTS:
    """What the search needs to know of the space: its supernet, its layout, its derivation."""

    def __init__(self, config: SearchConfig) -> None:
        self.config = config

    def supernet(self, in_channels: int, classes: int) -> Supernet:
        """A fresh supernet for images of `in_channels` channels."""
        space = self.config.space
        return Supernet(
            PRIMITIVES,
            nodes=space.nodes,
            channels=space.channels,
            layers=space.layers,
            in_channels=in_channels,
            classes=classes,
            seed=self.config.engine.seed,
            alpha_scale=self.config.alpha.init_scale,
        )

    def layout(self) -> list[CellLayout]:
        """The rows and columns of each cell's alpha, for the heatmaps."""
        edges = [(j, i + 2) for i in range(self.config.space.nodes) for j in range(i + 2)]
        return [CellLayout(name=name, edges=edges, operations=list(PRIMITIVES)) for name in CELLS]

    def derive(self, mixing: dict[str, Tensor]) -> Genotype:
        """The genotype of mixing weights, (E, O) per cell."""
        rows = {cell: weights.tolist() for cell, weights in mixing.items()}
        return derivation.derive(rows, PRIMITIVES)
