"""The operation weights of one forward pass: methods make them, supernets use them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

# (E, O) matrices by cell type.
Matrices = Mapping[str, Tensor]


class Mixing(NamedTuple):
    """The relaxation of one forward pass; E edges, O operations.

    Attributes:
        weights: each cell type's (E, O) weights.
        shares: each cell type's (E,) factors of whole edges (PC-DARTS's edge normalisation), or
            None where every edge counts fully.
        active: for each cell type and edge, the columns that are computed; None computes all. The
            weight of a column that is not computed is added to the edge's output as a number: zero
            in value, but alpha's gradient flows through it, if the relaxation lets it (GDAS).
    """

    weights: Matrices
    shares: Mapping[str, Tensor] | None = None
    active: Mapping[str, Sequence[Sequence[int]]] | None = None

    @classmethod
    def of(cls, mixing: "Mixing | Matrices") -> "Mixing":
        """A mixing as it is; plain matrices as one that counts and computes every edge fully."""
        return mixing if isinstance(mixing, Mixing) else cls(mixing)
