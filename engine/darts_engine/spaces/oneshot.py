"""The three spaces of NAS-Bench-1Shot1: Zela et al., ICLR 2020, arXiv 2001.10422, section 3.

Each node chooses its operation; some nodes, and the output, choose their parents. So there is an
alpha matrix of the operations, and one for each choice of parents. The spaces differ in the number
of parents that each node keeps (`run/architecture/spaces.py`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from darts_engine.networks.nasbench101 import OPERATIONS, PARENTS, parents_name
from darts_engine.run.architecture.derivation_one_cell import derive_nodes
from darts_engine.run.architecture.genotype import OUTPUT, Genotype
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.architecture.spaces import ONE_SHOT_OPERATIONS, SPECS
from darts_engine.run.settings.config import SearchConfig
from darts_engine.spaces.space import RowsByName, Space, plain_rows
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.oneshot import OneShotSupernet


class OneShot1(Space):
    """The space that `config.space.space` names."""

    def __init__(self, config: SearchConfig) -> None:
        super().__init__(config)
        self._spec = SPECS[config.space.space]

    def supernet(
        self, in_channels: int, classes: int, *, more_layers: int = 0, stage: int = 0
    ) -> OneShotSupernet:
        """A new supernet; this space has no stages, so `more_layers` and `stage` must be 0."""
        assert not more_layers
        assert not stage
        space = self.config.space
        return OneShotSupernet(
            self._spec.choices,
            nodes=self._spec.nodes,
            channels=space.channels,
            layers=space.layers,
            in_channels=in_channels,
            classes=classes,
            seed=self.config.engine.seed,
            alpha_scale=self.config.alpha.init_scale,
            bn_momentum=space.bn_momentum,
            last_bn_momentum=space.last_bn_momentum,
        )

    def layout(self) -> list[CellLayout]:
        """Two heatmaps: the nodes' operations, and the parents of those that choose them."""
        nodes, choices = range(1, self._spec.nodes + 1), self._spec.choices
        return [
            CellLayout(
                name=OPERATIONS,
                edges=[(node, node) for node in nodes],
                operations=list(ONE_SHOT_OPERATIONS),
                shows="nodes",
                labels=[f"node {node}" for node in nodes],
            ),
            CellLayout(
                name=PARENTS,
                edges=[(node, node) for node in choices],
                operations=["in", *map(str, nodes)],
                shows="parents",
                labels=[OUTPUT if n == nodes.stop else f"node {n}" for n in choices],
            ),
        ]

    def tables(self, matrices: RowsByName) -> dict[str, Matrix]:
        """The rows of the operations and of all parents; None at states not before a node."""
        width = self._spec.nodes + 1
        parents: Matrix = []
        for node in self._spec.choices:
            (row,) = matrices[parents_name(node)]
            parents.append([*row, *[None] * (width - len(row))])
        return {OPERATIONS: [list(row) for row in matrices[OPERATIONS]], PARENTS: parents}

    def raw(self, tables: Mapping[str, Matrix]) -> dict[str, Tensor]:
        """The inverse of `tables`: the tensor of each alpha matrix."""
        rows = {OPERATIONS: tables[OPERATIONS]}
        for node, row in zip(self._spec.choices, tables[PARENTS], strict=True):
            rows[parents_name(node)] = [row[:node]]
        return {
            name: torch.tensor([[value or 0.0 for value in row] for row in table])
            for name, table in rows.items()
        }

    def derive(self, mixing: Matrices) -> Genotype:
        """The genotype with the strongest operation and parents of each node, by any derivation."""
        parents = {n: plain_rows(mixing[parents_name(n)])[0] for n in self._spec.choices}
        operations = plain_rows(mixing[OPERATIONS])
        return derive_nodes(operations, ONE_SHOT_OPERATIONS, parents, self._spec.parents)

    def cut(self, genotype: Genotype, like: Tensor) -> Mixing:
        """The mixing that computes a genotype alone: weight 1 for what it keeps, 0 for the rest."""
        edges = genotype.edges("cell")
        names = {edge.node: edge.operation for edge in edges}
        columns = [(ONE_SHOT_OPERATIONS.index(names[node]),) for node in self._nodes]
        rows = {
            OPERATIONS: [[float(o in c) for o in range(len(ONE_SHOT_OPERATIONS))] for c in columns]
        }
        for node in self._spec.choices:
            kept = {edge.input for edge in edges if edge.node == node}
            rows[parents_name(node)] = [[float(state in kept) for state in range(node)]]
        weights = {name: like.new_tensor(row) for name, row in rows.items()}
        return Mixing(weights, active={OPERATIONS: columns})

    @property
    def _nodes(self) -> range:
        return range(1, self._spec.nodes + 1)
