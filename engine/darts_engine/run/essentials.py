"""The events that a reader needs to know where a run is, kept in memory by the engine.

A log that was emptied in mid-run is begun again with them: they are written as they were, with
their own numbers, so that a reader folds them as ever. A gap in the numbers is what was lost.
"""

from darts_engine.run import events
from darts_engine.run.events import Event

# Of these, every one is kept, but for lines that warn of nothing; together they are a few kilobytes
# an epoch.
_EVERY = (
    events.Rewound,
    events.EpochFinished,
    events.HealthMeasured,
    events.GapMeasured,
    events.AlertRaised,
    events.LogWritten,
)
# Of these, the last of each epoch.
_LAST_OF_AN_EPOCH = (events.GenotypeDerived,)
# Of these, the last one. Those in one group replace each other.
_LAST = {
    events.RunStarted: "started",
    events.EpochStarted: "epoch",
    events.StepFinished: "step",
    events.AlphaSampled: "alpha",
    events.SystemMeasured: "system",
    events.CheckpointSaved: "checkpoint",
    events.RunPaused: "phase",
    events.RunContinued: "phase",
    events.RunStopping: "phase",
}


class Essentials:
    """Lines of the log by which a reader finds out where the run is."""

    def __init__(self) -> None:
        self._lines: dict[tuple[object, ...], tuple[int, bytes]] = {}

    def take(self, event: Event, seq: int, line: bytes) -> None:
        """Keep an event's line if it is essential, in place of those that it replaces."""
        key: tuple[object, ...]
        if isinstance(event, events.LogWritten) and event.level == "info":
            return
        if isinstance(event, _EVERY):
            key = (type(event), seq)
        elif isinstance(event, _LAST_OF_AN_EPOCH):
            key = (type(event), event.epoch)
        elif type(event) in _LAST:
            key = (_LAST[type(event)],)
        else:
            return
        self._lines[key] = seq, line

    def lines(self) -> list[tuple[int, bytes]]:
        """The numbers of the events and their lines, in order."""
        return sorted(self._lines.values())
