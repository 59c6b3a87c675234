"""The events of a live run that cause a toast, and those that also call the user."""

from darts_engine.run import events
from darts_tui.console.event_text import Note, note

TOASTS = (events.AlertRaised, events.RunFinished, events.RunFailed, events.CommandRejected)
# Important enough for somebody who does not watch the screen.
CALLS = (events.AlertRaised, events.RunFinished, events.RunFailed)


def toast_of(event: events.AnyEvent, *, is_measuring: bool) -> Note | None:
    """The text of the toast for an event, None where it has none.

    The results of the user's own requests have one: a checkpoint on command, and the
    discretisation gap if `is_measuring`.
    """
    is_result = isinstance(event, events.CheckpointSaved) and event.reason == "command"
    is_result |= isinstance(event, events.GapMeasured) and is_measuring
    return note(event) if is_result or isinstance(event, TOASTS) else None
