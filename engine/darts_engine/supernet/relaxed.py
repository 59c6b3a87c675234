"""The interface between a search and a supernet, whatever the cells are made of.

`supernet.py` has the supernet of the cells of DARTS; `nasbench201.py` and `oneshot.py` have those
of spaces with one cell type.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from darts_engine.optim.loss import cross_entropy
from darts_engine.supernet.alphas import Alphas
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.stochastic import StochasticOps

# What a network reads. Of images (B, C, H, W) it is they; of text the tokens (T, B) and the hidden
# state (B, n) before them.
Inputs = Any
# Inputs and what they are to give: labels (B,), or of text the tokens that follow, (T, B).
Batch = tuple[Inputs, Tensor]


class Outcome(NamedTuple):
    """What a batch gives.

    Attributes:
        loss: mean cross entropy, a scalar in float32 or better.
        output: logits (B, classes); of text the hidden state (B, n) after the last token.
    """

    loss: Tensor
    output: Tensor


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

    def loss(self, batch: Batch, mixing: Mixing | Matrices | None = None) -> Outcome:
        """The mean cross entropy of a batch, and what the network gave for it.

        Args:
            batch: inputs and labels.
            mixing: as in `forward`.
        """
        images, labels = batch
        logits = self(images, mixing)
        return Outcome(cross_entropy(logits, labels), logits)

    def predict(self, inputs: Inputs, mixing: Mixing | Matrices | None = None) -> Any:
        """What the network makes of inputs: logits (B, classes) of images."""
        return self(inputs, mixing)

    def weights(self) -> Iterator[nn.Parameter]:
        """Every parameter that is not an alpha."""
        for name, parameter in self.named_parameters():
            if not name.startswith("alphas."):
                yield parameter

    def held_ahead(self) -> Sequence[nn.Parameter]:
        """Weights that the virtual step of second order leaves where they are."""
        return ()
