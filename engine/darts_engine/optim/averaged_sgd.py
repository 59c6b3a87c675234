"""Averaged SGD: the mean of a network's weights over all steps since SGD stopped to get better.

Polyak and Juditsky, 1992; the rule that begins it is that of Merity et al., 2018, arXiv 1708.02182,
algorithm 1 (NT-ASGD), as the DARTS code for text has it. SGD itself goes on unchanged: only what is
validated and used is the mean.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class NonMonotone:
    """Tells when a validation loss has stopped to fall.

    Args:
        window: losses that are too recent to be compared with; 0 never tells.

    Attributes:
        losses: of all epochs before that, in nats.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self.losses: list[float] = []

    def has_stopped_falling(self, loss: float) -> bool:
        """Whether an epoch's loss is above the lowest of all but the last `window` before it.

        There must be more than `window` before it. The loss is recorded unless it ends the record.
        """
        window = self._window
        earlier = self.losses[:-window] if window else []
        if earlier and loss > min(earlier):
            return True
        self.losses.append(loss)
        return False


class WeightMean:
    """The mean of weights over the steps since it began.

    It is that of `torch.optim.ASGD` with lambd 0 and t0 0, whose first step is not in the mean.

    Args:
        weights: those of the network, which an optimizer moves.

    Attributes:
        steps: taken since it began.
        means: one for each weight, in its shape; empty before it began.
    """

    def __init__(self, weights: Sequence[nn.Parameter]) -> None:
        self._weights = list(weights)
        self.steps = 0
        self.means: list[Tensor] = []

    @property
    def has_begun(self) -> bool:
        """Whether there is a mean."""
        return bool(self.means)

    @torch.no_grad()
    def begin(self) -> None:
        """Begin with the weights as they are."""
        self.steps = 0
        self.means = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def load(self, means: Sequence[Tensor], steps: int) -> None:
        """Go on from the means of so many steps, in the order of the weights."""
        self.begin()
        self.steps = steps
        for mine, value in zip(self.means, means, strict=True):
            mine.copy_(value)

    def end(self) -> None:
        """Forget the mean."""
        self.steps, self.means = 0, []

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after a step into the mean, if it has begun."""
        if not self.means:
            return
        self.steps += 1
        weights: list[Tensor] = list(self._weights)
        torch._foreach_lerp_(self.means, weights, 1 / max(1, self.steps - 1))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, the network has the mean in place of its weights, if the mean has begun."""
        if not self.means:
            yield
            return
        own = [weight.detach().clone() for weight in self._weights]
        self._put(self.means)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for weight, value in zip(self._weights, values, strict=True):
            weight.copy_(value)
