"""What a search needs to know of a space: its network, its layout, its derivation."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.settings.config import SearchConfig
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork

# Numbers of alpha matrices by name: tensors, or plain rows.
Tables = Mapping[str, Sequence[Sequence[float]]]
Candidates = Mapping[str, Sequence[Sequence[str]]]


class Space(ABC):
    """A search space at the size that a config asks for."""

    def __init__(self, config: SearchConfig) -> None:
        self.config = config

    @abstractmethod
    def supernet(
        self, in_channels: int, classes: int, *, more_layers: int = 0, stage: int = 0
    ) -> RelaxedNetwork:
        """A fresh relaxed network for images of `in_channels` channels.

        Every stage of a staged search has more layers, and weights and alphas of its own.
        """

    @abstractmethod
    def layout(self) -> list[CellLayout]:
        """The rows and columns of the heatmaps."""

    @abstractmethod
    def tables(self, matrices: Tables) -> dict[str, Matrix]:
        """Numbers of all alpha matrices as the layouts show them; null where there is no alpha."""

    @abstractmethod
    def raw(self, tables: Mapping[str, Matrix]) -> dict[str, Tensor]:
        """`tables` undone: the tensor of each alpha matrix."""

    @abstractmethod
    def derive(self, mixing: Matrices) -> Genotype:
        """The genotype of mixing weights."""

    @abstractmethod
    def cut(self, genotype: Genotype, like: Tensor) -> Mixing:
        """The mixing that computes a genotype alone; `like` gives device and type.

        What is kept has weight 1, all else 0.
        """

    def narrow(self, left: Candidates | None) -> None:
        """From now on only these candidates, each cell's edge by edge; None: all again.

        The columns of the layout stay, so that views of an earlier time fit.
        """
        if left:
            raise ValueError("the candidates of this space stay")

    def candidates(self) -> dict[str, list[list[str]]]:
        """What is left of each cell's candidates, edge by edge; nothing where they stay."""
        return {}


def plain_rows(weights: Tensor) -> list[list[float]]:
    """A matrix as numbers; those that are none never win."""
    rows: list[list[float]] = weights.tolist()
    return [[value if math.isfinite(value) else -math.inf for value in row] for row in rows]
