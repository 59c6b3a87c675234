"""A moving average of a network's weights. It often generalises better than the last weights.

Polyak and Juditsky, 1992; as an exponential average e.g. in Szegedy et al., 2016, arXiv 1512.00567.
"""

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """A copy of a network whose weights are the moving average of the network's.

    Batch norm's running statistics are averages already, so they are copied as they are.

    Args:
        source: the network that is trained.
        decay: of the average in each step, from 0 to 1.

    Attributes:
        network: the averaged network, always in evaluation mode.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(source).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Take the weights after a step into the average.

            average <- d average + (1 - d) weights,  d = min(decay, (1 + step) / (10 + step))

        Early on d is small, so that the initial weights are forgotten: at step 100 the average
        reaches about ten steps back.

        Args:
            source: the network that is trained.
            step: from 1, over the whole run.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        mine: list[Tensor] = list(self.network.parameters())
        theirs: list[Tensor] = list(source.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for kept, now in zip(self.network.buffers(), source.buffers(), strict=True):
            kept.copy_(now)

    @torch.no_grad()
    def restart(self, source: nn.Module) -> None:
        """Set the average to the weights of `source`."""
        self.network.load_state_dict(source.state_dict())
