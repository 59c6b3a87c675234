"""What a run's session and its followers need of a task. A task is a search or a training.

`loop.Task` is the whole interface; these are its parts.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from darts_engine.run import events
from darts_engine.run.errors import NotFiniteError
from darts_engine.runner.position import Position


class Stateful(Protocol):
    """Has a state that a checkpoint saves and restores."""

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors and plain values."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Replace the own state by one that `state` returned."""


class Reporting(Stateful, Protocol):
    """Has events about its steps."""

    def report(self, position: Position) -> list[events.Event]:
        """The events about the steps since the last report."""


@runtime_checkable
class LooksAtTest(Protocol):
    """May have a test part that is looked at once, at the end: a training.

    Attributes:
        has_test: whether it has one, beside the part that epochs are scored on.
    """

    has_test: bool

    def look_at_test(self, best: dict[str, Any] | None) -> events.TestMeasured:
        """Measure the test figures.

        Args:
            best: the state of the best epoch's end, whose weights are used; None for the present.
        """


@runtime_checkable
class Discretisable(Protocol):
    """Has a discretisation gap: a search."""

    def measure_gap(self, position: Position) -> events.GapMeasured:
        """Measure the gap. Nothing that a later step depends on changes."""


class Rollback(Protocol):
    """A decision to restart from the end of `epoch`, because of `reason`."""

    @property
    def epoch(self) -> int:
        """The epoch to restart after, from 1."""

    @property
    def reason(self) -> str:
        """Why, as text for people."""


@runtime_checkable
class RollsBack(Stateful, Protocol):
    """May decide to restart from an earlier epoch.

    A search that adapts its weight decay does so, and a training on text (`Recovers`).
    """

    @property
    def rollback(self) -> Rollback | None:
        """The decision after the epoch that just ended; None to go on."""

    def may_return_to(self, epoch: int) -> Sequence[int]:
        """The epochs up to `epoch`, which is done, that a later rollback may restart from."""

    def roll_back(self, state: dict[str, Any], position: Position) -> list[events.Event]:
        """Restart from `state`, saved at `position`, with the settings that the rollback changes.

        Returns:
            Events about the rollback.
        """

    def schedules(self) -> list[events.ScheduleSpan]:
        """The value of each schedule in every epoch, as far as it is known now."""


@runtime_checkable
class Recovers(RollsBack, Protocol):
    """Goes back to an earlier epoch when a loss or gradient is not finite: a training on text."""

    def failed(self, error: NotFiniteError) -> None:
        """Make the decision that `rollback` then has.

        Raises:
            NotFiniteError: there is nothing to go back to, or it is of no use.
        """
