"""What a search learns from: one side for the weights, another for alpha.

Of images, both sides are halves of the training part (`halves.py`). Of text, the weights learn from
the training part and alpha from the validation part (`text_sides.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from darts_engine.methods.architects.first_order import BOTH_WHOLE, Shards
from darts_engine.run import events
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures
from darts_engine.supernet.relaxed import Batch, Inputs


class Sides(ABC):
    """The batches of both sides, and the figures of alpha's side.

    Attributes:
        sizes: images or tokens of each side, and of the test part.
        steps_per_epoch: weight steps; of text the mean number.
    """

    sizes: Mapping[str, int]
    steps_per_epoch: int

    def steps_of(self, epoch: int) -> int:  # noqa: ARG002  only text has others in each epoch
        """Weight steps of an epoch, from 1."""
        return self.steps_per_epoch

    @abstractmethod
    def about(self, position: Position) -> list[events.Event]:
        """Events about what was found in the data."""

    @abstractmethod
    def count(self, epoch: int, step: int) -> int:
        """Images or tokens of the weight batch of a step, over all processes."""

    @abstractmethod
    def weight_batch(self, epoch: int, step: int) -> Batch:
        """What the weights learn from in a step, from 1."""

    @abstractmethod
    def alpha_batch(self, epoch: int, step: int) -> Batch:
        """What alpha learns from in a step, from 1."""

    def shards(self, epoch: int, step: int) -> Shards:  # noqa: ARG002  only images are shared
        """This process's part of a step's alpha batch and weight batch."""
        return BOTH_WHOLE

    def cut_out(self, prob: float) -> None:
        """Cut a square out of an image with this probability from now on."""
        raise NotImplementedError

    @abstractmethod
    def validate(self, predict: Callable[[Inputs], Any], most: int = 0) -> Figures:
        """The figures of alpha's side.

        Args:
            predict: makes the network's output of inputs, in evaluation mode.
            most: use the first so many images; 0 uses all.
        """

    def state(self) -> dict[str, Any]:
        """What the next batches depend on, apart from epoch and step."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:  # noqa: B027  most have no state
        """Go on from a checkpoint."""
