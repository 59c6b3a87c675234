"""The position of a run: its epoch and step."""

from typing import Any, TypeVar

import msgspec

from darts_engine.run.events import Event

E = TypeVar("E", bound=Event)

# The fields of events that a position knows.
STAMP = ("epoch", "step", "global_step")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The last step that a run has done.

    Attributes:
        epoch: from 1; 0 before the first step.
        step: of the epoch, from 1; 0 before the first.
        global_step: of the run, from 1; 0 before the first.
        is_epoch_done: whether the epoch's validation and its events are done too.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    is_epoch_done: bool = True

    def stamp(self, kind: type[E], **fields: Any) -> E:
        """Make an event of this position.

        Args:
            kind: the event's type. Those of `epoch`, `step` and `global_step` that it has are set.
            fields: its other fields.
        """
        place = {name: getattr(self, name) for name in STAMP if name in kind.__struct_fields__}
        return kind(**place, **fields)
