"""The DARTS CNN space, and the base of spaces with the same cells.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.1.1. All layers share two cell types, in which
each node has an edge from every earlier state. Every edge has the same eight candidates; other
spaces (`robust.py`, `nasnet.py`) have other candidates. Shapes: E edges, O operations.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from darts_engine.compute import streams
from darts_engine.layers.operations import NONE, PRIMITIVES
from darts_engine.run.architecture import derivation
from darts_engine.run.architecture.genotype import CELLS, Genotype
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.settings.config import SearchConfig
from darts_engine.spaces.space import RowsByName, Space, plain_rows
from darts_engine.supernet.cell import Names
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.supernet import Supernet


class DARTS(Space):
    """Two cell types whose nodes keep two edges each."""

    def __init__(self, config: SearchConfig) -> None:
        super().__init__(config)
        self._left: Mapping[str, Sequence[Sequence[str]]] | None = None

    def names(self) -> Names:
        """All candidates in alpha's column order: for all edges, or by cell type and edge."""
        if self.config.space.without_none:
            return [name for name in PRIMITIVES if name != NONE]
        return PRIMITIVES

    def narrow(self, left: Mapping[str, Sequence[Sequence[str]]] | None) -> None:
        """Keep only these candidates, by cell type and edge; None brings all back.

        The columns of the layout stay, so that events of an earlier stage still fit.
        """
        self._left = left

    def candidates(self) -> dict[str, list[list[str]]]:
        """The candidates that are left, by cell type and edge."""
        return {cell: [list(names) for names in self._current(cell)] for cell in CELLS}

    def supernet(
        self, in_channels: int, classes: int, *, more_layers: int = 0, stage: int = 0
    ) -> Supernet:
        """A new supernet; every stage of a staged search has weights and alphas of its own.

        Args:
            in_channels: channels of the images.
            classes: outputs.
            more_layers: cells beyond those of the config.
            stage: of a staged search, from 0.
        """
        space, method = self.config.space, self.config.method
        seed = self.config.engine.seed
        return Supernet(
            self._left or self.names(),
            nodes=space.nodes,
            channels=space.channels,
            layers=space.layers + more_layers,
            in_channels=in_channels,
            classes=classes,
            seed=streams.seed_of(seed, "stage", stage) if stage else seed,
            alpha_scale=self.config.alpha.init_scale,
            partial=method.partial_channels,
            edge_normalisation=method.edge_normalisation,
            auxiliary_skip=method.auxiliary_skip,
        )

    def layout(self) -> list[CellLayout]:
        """The rows and columns of each cell's alpha, for the heatmaps."""
        edges = [(j, i + 2) for i in range(self.config.space.nodes) for j in range(i + 2)]
        return [CellLayout(name=cell, edges=edges, operations=self.columns(cell)) for cell in CELLS]

    def columns(self, cell: str) -> list[str]:
        """The candidates of any edge of a cell type, each once, in the primitives' order."""
        return list(dict.fromkeys(name for names in self._all(cell) for name in names))

    def tables(self, matrices: RowsByName) -> dict[str, Matrix]:
        """The (E, O) numbers of each cell type by `columns`; None where an edge has no such one."""
        found: dict[str, Matrix] = {}
        for cell, matrix in matrices.items():
            columns = self.columns(cell)
            found[cell] = []
            for names, row in zip(self._current(cell), matrix, strict=True):
                values = dict(zip(names, row, strict=True))
                found[cell].append([values.get(name) for name in columns])
        return found

    def raw(self, tables: Mapping[str, Matrix]) -> dict[str, Tensor]:
        """The inverse of `tables`: the (E, O) tensor of each cell type."""
        found = {}
        for cell, matrix in tables.items():
            columns = self.columns(cell)
            found[cell] = torch.tensor(
                [
                    [row[columns.index(name)] or 0.0 for name in names]
                    for names, row in zip(self._current(cell), matrix, strict=True)
                ]
            )
        return found

    def derive(self, mixing: Matrices) -> Genotype:
        """The genotype of mixing weights, (E, O) by cell type, by the derivation of the method."""
        method = self.config.method
        rules: dict[str, derivation.Rule] = {
            "top-2": derivation.derive_cell,
            "joint": derivation.derive_joint,
            "threshold": partial(derivation.derive_threshold, threshold=method.threshold),
            "skip-limited": partial(derivation.derive_skip_limited, most=method.skip_limit),
        }
        rule = rules[method.derivation]
        # P-DARTS limits the skips of the normal cell only.
        plain = method.derivation == "skip-limited"
        rows = {cell: plain_rows(weights) for cell, weights in mixing.items()}
        operations = {cell: self._current(cell) for cell in rows}
        return derivation.derive(rows, operations, rule, derivation.derive_cell if plain else rule)

    def cut(self, genotype: Genotype, like: Tensor) -> Mixing:
        """The mixing that computes a genotype alone; its shares set the other edges to 0."""
        weights, shares, active = {}, {}, {}
        for cell in CELLS:
            names = self._current(cell)
            columns: list[set[int]] = [set() for _ in names]
            for edge in genotype.edges(cell):
                row = row_of(edge.input, edge.node)
                columns[row].add(names[row].index(edge.operation))
            weights[cell] = like.new_tensor(
                [[float(o in kept) for o in range(len(names[0]))] for kept in columns]
            )
            shares[cell] = like.new_tensor([float(bool(kept)) for kept in columns])
            active[cell] = [tuple(sorted(kept)) for kept in columns]
        return Mixing(weights, shares, active)

    def _current(self, cell: str) -> Sequence[Sequence[str]]:
        return self._all(cell) if self._left is None else self._left[cell]

    def _all(self, cell: str) -> Sequence[Sequence[str]]:
        names = self.names()
        if isinstance(names, Mapping):
            return names[cell]
        return [names] * sum(range(2, self.config.space.nodes + 2))


def row_of(source: int, node: int) -> int:
    """The row of alpha of the edge `source` -> `node`; the two inputs count as states 0 and 1."""
    return (node - 2) * (node + 1) // 2 + source
