"""A space of NASNet's shape: Zoph et al., CVPR 2018, arXiv 1707.07012, section 3.

DARTS's edges with the operations of the NASNet and AmoebaNet cells, five nodes unless asked
otherwise, and NASNet's output: the states that no node takes are concatenated.

DEVIATION: in NASNet a controller draws both inputs of a node and an operation for each; here alpha
weighs them, and the derivation keeps two edges of a node as in DARTS, or with `--derivation joint`
two pairs of operation and input, which may share an input as theirs do.
"""

from collections.abc import Sequence

from darts_engine.layers.operations import NONE
from darts_engine.run.architecture.derivation import with_loose_ends
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.spaces import NASNET_OPERATIONS
from darts_engine.spaces.darts import DARTS
from darts_engine.supernet.mixing import Matrices


class NASNetLike(DARTS):
    """Any number of nodes; loose ends are the output."""

    def names(self) -> Sequence[str]:
        """The candidates of every edge."""
        if self.config.space.without_none:
            return [name for name in NASNET_OPERATIONS if name != NONE]
        return NASNET_OPERATIONS

    def derive(self, mixing: Matrices) -> Genotype:
        """As in DARTS, with only the loose ends concatenated."""
        return with_loose_ends(super().derive(mixing))
