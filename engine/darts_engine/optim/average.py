"""A moving average of a network's weights, which often generalises better than the last ones.

Polyak and Juditsky, 1992; as an exponential average e.g. in Szegedy et al., 2016, arXiv 1512.00567.
"""

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """A network of its own whose weights follow those of another.

    Batch norm's running statistics are averages already, so they are copied as they are.

    Attributes:
        network: the averaged network, always in evaluation mode.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(source).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Move towards the weights after step `step`, counted from 1 over the whole run.

        Early on the decay is (1 + step) / (10 + step), so that the average does not hang on to
        the weights that were drawn: over a hundred steps it looks back about ten.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        mine: list[Tensor] = list(self.network.parameters())
        theirs: list[Tensor] = list(source.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for kept, now in zip(self.network.buffers(), source.buffers(), strict=True):
            kept.copy_(now)

    @torch.no_grad()
    def restart(self, source: nn.Module) -> None:
        """Forget the past: be the weights of `source`."""
        self.network.load_state_dict(source.state_dict())
