"""What mixes the operations of a supernet: the value that passes between methods and supernets."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

# (E, O) matrices by cell name.
Matrices = Mapping[str, Tensor]


class Mixing(NamedTuple):
    """The relaxation of one forward pass; E edges, O operations.

    Attributes:
        weights: each cell type's (E, O) weights.
        shares: each cell type's (E,) factors of whole edges (PC-DARTS's edge normalisation), or
            None where every edge counts fully.
        active: for each cell type and edge, the columns that are computed; None computes all. The
            weight of a column that is not computed is added to the edge's output as a number: zero
            in value, but alpha's gradient flows through it (GDAS).
    """

    weights: Matrices
    shares: Mapping[str, Tensor] | None = None
    active: Mapping[str, Sequence[Sequence[int]]] | None = None

    @classmethod
    def of(cls, mixing: "Mixing | Matrices") -> "Mixing":
        """Plain matrices as a value of this kind."""
        return mixing if isinstance(mixing, Mixing) else cls(mixing)
