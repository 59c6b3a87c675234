"""The interface between a search and a supernet, whatever the cells are made of.

`supernet.py` has the supernet of the cells of DARTS; `nasbench201.py` and `oneshot.py` have those
of spaces with one cell type.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from darts_engine.supernet.alphas import Alphas
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.stochastic import StochasticOps


class RelaxedNetwork(nn.Module, ABC):
    """A network whose alphas weigh the choices of a search space.

    Args:
        shapes: (rows, columns) of each alpha matrix by name.
        scale: standard deviation of the first alphas.
        seed: names the streams that they are drawn from.
        edges: whether alphas also weigh whole edges (PC-DARTS).

    Attributes:
        alphas: the architecture parameters.
        stochastic: everything random in the forward pass.
        cells: the modules that `recomputes` computes again.
        relax: computes the mixing of a forward pass that got none; a search's method sets it to
            its own relaxation.
        recomputes: whether to keep only the outputs of cells for the backward pass, and compute
            the rest again (activation checkpointing).
    """

    cells: nn.ModuleList
    recomputes = False

    def __init__(
        self, shapes: Mapping[str, tuple[int, int]], scale: float, seed: int, *, edges: bool = False
    ) -> None:
        super().__init__()
        self.stochastic = StochasticOps()
        self.alphas = Alphas(shapes, scale, seed, edges=edges)
        self.relax: Callable[[], Mixing] = self._relaxed

    def _relaxed(self) -> Mixing:
        return Mixing(self.alphas.mixing(), self.alphas.shares())

    @abstractmethod
    def forward(self, x: Tensor, mixing: Mixing | Matrices | None = None) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes).

        Args:
            x: the images.
            mixing: the weights of each alpha matrix; by default the mixing of `relax`.
        """

    def weights(self) -> Iterator[nn.Parameter]:
        """Every parameter that is not an alpha."""
        for name, parameter in self.named_parameters():
            if not name.startswith("alphas."):
                yield parameter

    def held_ahead(self) -> Sequence[nn.Parameter]:
        """Weights that the virtual step of second order leaves where they are."""
        return ()
