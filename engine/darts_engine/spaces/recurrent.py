"""The space of recurrent cells: Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.1.2.

One cell of nodes on a chain. Each node chooses one state before it and what it makes of it, so
alpha has a row for each edge, node by node, and the genotype keeps one edge of each node. Shapes: E
edges, O operations.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from darts_engine.layers.language_model import Dropouts
from darts_engine.run.architecture.derivation_one_cell import edges_of
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS, derive_chain
from darts_engine.run.architecture.genotype import NONE, RECURRENT, Genotype
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.settings.text_sections import TextSection
from darts_engine.spaces.space import RowsByName, Space, plain_rows
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.recurrent import RecurrentSupernet


class Recurrent(Space):
    """Each node of a chain gets one parent and one of five operations, of which `none` is never."""

    def names(self) -> Sequence[str]:
        """The candidates of every edge, in alpha's column order."""
        without = self.config.space.without_none
        return [name for name in RECURRENT_OPERATIONS if name != NONE or not without]

    def supernet(
        self,
        in_channels: int,  # noqa: ARG002  text has none
        classes: int,
        *,
        more_layers: int = 0,
        stage: int = 0,
    ) -> RecurrentSupernet:
        """A new supernet.

        Args:
            in_channels: unused: text has none.
            classes: tokens of the vocabulary.
            more_layers: must be 0, because this space has no stages.
            stage: must be 0.
        """
        assert not more_layers
        assert not stage
        supernet = RecurrentSupernet(
            classes,
            self.config.text.width,
            nodes=self.config.space.nodes,
            dropouts=dropouts(self.config.text),
            seed=self.config.engine.seed,
            alpha_scale=self.config.alpha.init_scale,
            auxiliary_skip=self.config.method.auxiliary_skip,
            names=self.names(),
        )
        supernet.predicts_by_batch = self.config.text.statistics == "batch"
        return supernet

    def layout(self) -> list[CellLayout]:
        """One heatmap: a row for each edge."""
        edges = edges_of(self.config.space.nodes)
        return [CellLayout(name=RECURRENT, edges=edges, operations=list(self.names()))]

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
        """The genotype with the strongest edge of every node and its strongest operation.

        The derivations `top-2` and `joint` differ in how they rank the edges of a node that keeps
        several; a node that keeps one gets the same edge by both.
        """
        return derive_chain(plain_rows(mixing[RECURRENT]), self.names())

    def cut(self, genotype: Genotype, like: Tensor) -> Mixing:
        """The mixing that computes a genotype alone: one entry of each node is 1."""
        names = list(self.names())
        kept = {(edge.input, edge.node): edge.operation for edge in genotype.edges(RECURRENT)}
        rows = [
            [float(kept.get(ends) == name) for name in names]
            for ends in edges_of(self.config.space.nodes)
        ]
        return Mixing({RECURRENT: like.new_tensor(rows)})


def dropouts(text: TextSection) -> Dropouts:
    """The five dropouts of a config."""
    return Dropouts(
        word=text.word_dropout,
        embedding=text.embedding_dropout,
        input=text.input_dropout,
        hidden=text.hidden_dropout,
        output=text.output_dropout,
    )
