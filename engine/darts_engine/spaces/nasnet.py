"""A space of NASNet's cells: Zoph et al., CVPR 2018, arXiv 1707.07012, section 3.

The edges are those of DARTS, the operations those of the NASNet and AmoebaNet cells. There are five
nodes by default. As in NASNet, the output concatenates the states that no node takes.

DEVIATION: in NASNet a controller draws both inputs of a node and an operation for each. Here alpha
weighs them, and the derivation keeps two edges of a node as in DARTS; with `--derivation joint` it
keeps two pairs of operation and input, which may share an input as in NASNet.
"""

from collections.abc import Sequence

from darts_engine.layers.operations import NONE
from darts_engine.run.architecture.derivation import with_loose_ends
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.spaces import NASNET_OPERATIONS
from darts_engine.spaces.darts import DARTS
from darts_engine.supernet.mixing import Matrices


class NASNetLike(DARTS):
    """The cells of DARTS with other candidates and another output."""

    def names(self) -> Sequence[str]:
        """The candidates of every edge."""
        if self.config.space.without_none:
            return [name for name in NASNET_OPERATIONS if name != NONE]
        return NASNET_OPERATIONS

    def derive(self, mixing: Matrices) -> Genotype:
        """As in DARTS, but the output concatenates only the loose ends."""
        return with_loose_ends(super().derive(mixing))
