"""The space of NAS-Bench-201: Dong and Yang, ICLR 2020, arXiv 2001.00326, section 2.1.

One cell type of 3 nodes and 6 edges. The genotype keeps every edge, and `none` is an operation like
any other. Shapes: E edges, O operations.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from darts_engine.layers.operations import NONE
from darts_engine.networks.nasbench201 import CELL
from darts_engine.run.architecture.derivation_one_cell import derive_edges, edges_of
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS
from darts_engine.spaces.space import RowsByName, Space, plain_rows
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.nasbench201 import Supernet201


class NASBench201(Space):
    """Each of six edges gets one of five operations."""

    def names(self) -> Sequence[str]:
        """The candidates of every edge, in alpha's column order."""
        return [
            name
            for name in NASBENCH201_OPERATIONS
            if name != NONE or not self.config.space.without_none
        ]

    def supernet(
        self, in_channels: int, classes: int, *, more_layers: int = 0, stage: int = 0
    ) -> Supernet201:
        """A new supernet; this space has no stages, so `more_layers` and `stage` must be 0."""
        assert not more_layers
        assert not stage
        space = self.config.space
        return Supernet201(
            self.names(),
            nodes=space.nodes,
            channels=space.channels,
            layers=space.layers,
            in_channels=in_channels,
            classes=classes,
            seed=self.config.engine.seed,
            alpha_scale=self.config.alpha.init_scale,
            auxiliary_skip=self.config.method.auxiliary_skip,
        )

    def layout(self) -> list[CellLayout]:
        """One heatmap: a row for each edge."""
        edges = edges_of(self.config.space.nodes)
        return [CellLayout(name=CELL, edges=edges, operations=list(self.names()))]

    def tables(self, matrices: RowsByName) -> dict[str, Matrix]:
        """The (E, O) numbers unchanged."""
        return {name: [list(row) for row in matrix] for name, matrix in matrices.items()}

    def raw(self, tables: Mapping[str, Matrix]) -> dict[str, Tensor]:
        """The inverse of `tables`: the (E, O) tensor."""
        return {
            name: torch.tensor([[value or 0.0 for value in row] for row in table])
            for name, table in tables.items()
        }

    def derive(self, mixing: Matrices) -> Genotype:
        """The genotype with the strongest operation of every edge.

        With the derivation "threshold", an edge whose operations are all below it gets `none`.
        Other derivations differ only in the edges they keep, and this space keeps all.
        """
        method = self.config.method
        threshold = method.threshold if method.derivation == "threshold" else None
        return derive_edges(plain_rows(mixing[CELL]), self.names(), threshold)

    def cut(self, genotype: Genotype, like: Tensor) -> Mixing:
        """The mixing that computes a genotype alone: one column of each edge, or no column."""
        names = list(self.names())
        kept = {(edge.input, edge.node): edge.operation for edge in genotype.edges(CELL)}
        columns = [
            tuple(names.index(name) for name in (kept[end],) if name in names)
            for end in edges_of(self.config.space.nodes)
        ]
        rows = [[float(o in chosen) for o in range(len(names))] for chosen in columns]
        return Mixing({CELL: like.new_tensor(rows)}, active={CELL: columns})
