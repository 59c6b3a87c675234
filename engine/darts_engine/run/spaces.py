"""What there is to say of each search space without building it: `darts-tui spaces`.

A test holds every line to the space's own layout and to its supernet's parameters.
"""

from typing import NamedTuple

from darts_engine.run.derivation import DARTS_OPERATIONS

ROBUST = "Zela et al., R-DARTS, ICLR 2020, arXiv 1909.09656, section 3"


class Facts(NamedTuple):
    """A space at its published size.

    Attributes:
        paper: where it comes from.
        candidates: every operation that some edge may take, in alpha's column order.
        per_edge: how many of them each edge has.
        cells: names of the cell types, each with alphas of its own.
        nodes: intermediate nodes of a cell.
        channels: C of the first cell, as published.
        layers: cells of the supernet, as published.
        parameters: weights of that supernet for 10 classes of RGB images, alphas not counted.
    """

    paper: str
    candidates: tuple[str, ...]
    per_edge: int
    parameters: int
    cells: tuple[str, ...] = ("normal", "reduce")
    nodes: int = 4
    channels: int = 16
    layers: int = 8

    @property
    def edges(self) -> int:
        """Edges of a cell: one from each input and each earlier node into every node."""
        return sum(range(2, self.nodes + 2))


FACTS: dict[str, Facts] = {
    "darts": Facts(
        "Liu et al., DARTS, ICLR 2019, arXiv 1806.09055, section 3.1.1",
        DARTS_OPERATIONS,
        8,
        1_930_618,
    ),
    "s1": Facts(
        ROBUST,
        (
            "max_pool_3x3",
            "avg_pool_3x3",
            "skip_connect",
            "sep_conv_3x3",
            "dil_conv_3x3",
            "dil_conv_5x5",
        ),
        2,
        405_146,
    ),
    "s2": Facts(ROBUST, ("skip_connect", "sep_conv_3x3"), 2, 665_466),
    "s3": Facts(ROBUST, ("none", "skip_connect", "sep_conv_3x3"), 3, 665_466),
    "s4": Facts(ROBUST, ("noise", "sep_conv_3x3"), 2, 624_506),
}
