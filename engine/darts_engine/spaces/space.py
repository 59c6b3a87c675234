"""The interface of a search space: supernet, layout of the alphas, derivation."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.settings.config import SearchConfig
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork

# Numbers of alpha matrices by name, as plain rows.
RowsByName = Mapping[str, Sequence[Sequence[float]]]
Candidates = Mapping[str, Sequence[Sequence[str]]]


class Space(ABC):
    """A search space at the size of a config."""

    def __init__(self, config: SearchConfig) -> None:
        self.config = config

    @abstractmethod
    def supernet(
        self, in_channels: int, classes: int, *, more_layers: int = 0, stage: int = 0
    ) -> RelaxedNetwork:
        """A new supernet; every stage of a staged search has weights and alphas of its own.

        Args:
            in_channels: channels of the images.
            classes: outputs.
            more_layers: cells beyond those of the config.
            stage: of a staged search, from 0.
        """

    @abstractmethod
    def layout(self) -> list[CellLayout]:
        """The rows and columns of the heatmaps."""

    @abstractmethod
    def tables(self, matrices: RowsByName) -> dict[str, Matrix]:
        """The numbers of all alpha matrices in the form of the layouts; None without an alpha."""

    @abstractmethod
    def raw(self, tables: Mapping[str, Matrix]) -> dict[str, Tensor]:
        """The inverse of `tables`: the tensor of each alpha matrix."""

    @abstractmethod
    def derive(self, mixing: Matrices) -> Genotype:
        """The genotype of mixing weights, by alpha matrix."""

    @abstractmethod
    def cut(self, genotype: Genotype, like: Tensor) -> Mixing:
        """The mixing that computes a genotype alone: weight 1 for what it keeps, 0 for the rest.

        Args:
            genotype: of this space.
            like: a tensor of the device and type of the weights.
        """

    def narrow(self, left: Candidates | None) -> None:
        """Keep only these candidates, by cell type and edge; None brings all back.

        The columns of the layout stay, so that events of an earlier stage still fit.

        Raises:
            ValueError: this space cannot be narrowed.
        """
        if left:
            raise ValueError("the candidates of this space stay")

    def candidates(self) -> dict[str, list[list[str]]]:
        """The candidates that are left, by cell type and edge; empty where none can be removed."""
        return {}


def plain_rows(weights: Tensor) -> list[list[float]]:
    """A matrix as rows of numbers; NaN and infinities become -inf, so that they never win."""
    rows: list[list[float]] = weights.tolist()
    return [[value if math.isfinite(value) else -math.inf for value in row] for row in rows]
