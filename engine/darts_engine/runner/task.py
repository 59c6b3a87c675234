"""What a run works on, as its session and its followers see it: a search or a training."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from darts_engine.run import events
from darts_engine.runner.position import Position


class Stateful(Protocol):
    """What a checkpoint captures."""

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken of."""


class Reporting(Stateful, Protocol):
    """What has something to say of a step."""

    def report(self, position: Position) -> list[events.Event]:
        """Events for a step that is worth one."""


@runtime_checkable
class Discretisable(Protocol):
    """What has a discretisation gap."""

    def measure_gap(self, position: Position) -> events.GapMeasured:
        """Measure it; nothing that a later step depends on changes."""


class Rollback(Protocol):
    """The end of `epoch` is to be gone back to, and `reason` is why."""

    @property
    def epoch(self) -> int:
        """From 1, and done."""

    @property
    def reason(self) -> str:
        """For people."""


@runtime_checkable
class RollsBack(Stateful, Protocol):
    """What may go back to an earlier epoch by its own decision."""

    @property
    def rollback(self) -> Rollback | None:
        """Where the epoch that just ended sends it back to, if it does."""

    def may_return_to(self, epoch: int) -> Sequence[int]:
        """The epochs up to `epoch`, which is done, whose ends later turns may name."""

    def roll_back(self, state: dict[str, Any], position: Position) -> list[events.Event]:
        """Become what `state` was taken of at `position`, but for what is to be different now.

        Returns:
            What there is to say of it.
        """

    def schedules(self) -> list[events.ScheduleSpan]:
        """What is planned."""
