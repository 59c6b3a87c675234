"""What a search needs of a network with alphas, whatever its cells are made of.

The supernet of DARTS's cells is in supernet.py, those of spaces with one cell type in
nasbench201.py and nasbench101.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from darts_engine.supernet.alphas import Alphas
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.stochastic import StochasticOps


class RelaxedNetwork(nn.Module, ABC):
    """A network in which alphas mix what there is to choose from.

    Args:
        shapes: (rows, columns) of each alpha matrix by name.
        scale: standard deviation of the first alphas.
        seed: names the streams that they are drawn from.
        edges: whether alphas also weigh whole edges (PC-DARTS).

    Attributes:
        chance: everything random in the forward pass.
        cells: what recomputes as a whole.
        relax: what a forward pass computes with that is given no mixing; a search's method puts its
            own relaxation here.
        recomputes: keep only the cells' outputs for the backward pass, and compute the rest again.
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

        `mixing` gives the weights of each alpha matrix; by default what `relax` makes of them.
        """

    def weights(self) -> Iterator[nn.Parameter]:
        """Every parameter that is not an alpha."""
        for name, parameter in self.named_parameters():
            if not name.startswith("alphas."):
                yield parameter
