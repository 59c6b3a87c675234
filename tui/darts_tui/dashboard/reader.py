"""Reading a run folder in a thread beside the dashboard.

A network disk may hang, so nothing here runs in the event loop. The thread posts one bounded batch
of events at a time and waits until the app has folded it: a log of a million events is read at full
speed, and the app still takes keys.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from textual.message import Message

from darts_engine.run.errors import UnsafeFileError
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder
from darts_engine.run.liveness import ENDED, observe
from darts_engine.run.log import MAX_LINE_BYTES, LogReader
from darts_engine.run.state import RunState

log = logging.getLogger(__name__)

# Above the longest line, so that every read can finish one.
BATCH_BYTES = 2 * MAX_LINE_BYTES
TAIL_BYTES = 8192
TAIL_LINES = 12
FOLD_DEADLINE_S = 30.0
# A younger heartbeat is not reported, so that it causes no redraw.
FRESH_HEARTBEAT_S = 3
UNREADABLE_EVERY_S = 1.0


class EngineStatus(NamedTuple):
    """The condition of the engine and of its log.

    Attributes:
        live: the engine's state, as `liveness.observe` returns it; "unreadable" where a file of
            the run must not be opened.
        heartbeat_s: whole seconds since the last heartbeat; None while it is fresh.
        tail: the last lines of engine.log; empty in states in which they explain nothing.
        damaged: lines of the log that were no events.
        behind: whether the log has more than was read.
        problem: why a file of the run must not be opened, in at most three lines.
    """

    live: str
    heartbeat_s: float | None
    tail: tuple[str, ...]
    damaged: int
    behind: bool
    problem: tuple[str, ...] = ()


@dataclass
class EventsRead(Message):
    """Events to fold, and a flag to set when they are folded."""

    reader: "Reader"
    history: list[AnyEvent]
    folded: threading.Event


@dataclass
class StatusChanged(Message):
    """The engine's status has changed."""

    reader: "Reader"
    status: EngineStatus


class Reader:
    """Follows one run until `stop` is called.

    Args:
        folder: the run.
        state: the run as the app has folded it; the thread reads it and never changes it.
        interval_s: pause between two reads, in seconds.
        post: takes the messages, from the reader's thread.
    """

    def __init__(
        self,
        folder: RunFolder,
        state: RunState,
        interval_s: float,
        post: Callable[[Message], None],
    ) -> None:
        self._folder, self._state, self._post = folder, state, post
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="run-reader", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End soon; does not wait, because a disk may hang."""
        self._stopped.set()

    def _follow(self) -> None:
        source = LogReader(self._folder.events)
        try:
            while not self._stopped.is_set():
                try:
                    self._loop(source)
                except UnsafeFileError as error:
                    # The file may be put right while the run is watched.
                    why = tuple(str(error).splitlines())
                    status = EngineStatus(
                        "unreadable", None, (), source.damaged, behind=False, problem=why
                    )
                    self._post(StatusChanged(self, status))
                    self._stopped.wait(UNREADABLE_EVERY_S)
        except Exception:
            log.exception("reading %s ended", self._folder.path)

    def _loop(self, source: LogReader) -> None:
        last: EngineStatus | None = None
        is_suspect = False
        while not self._stopped.is_set():
            history = source.read(BATCH_BYTES)
            if history:
                folded = threading.Event()
                self._post(EventsRead(self, history, folded))
                folded.wait(FOLD_DEADLINE_S)
            behind = source.is_behind() and bool(history)
            status = self._status(source, behind)
            if status.live == "dead" and not is_suspect:
                # The run may have ended after its log was read and before its lock was tested.
                # Its last event is in the log then: read once more.
                is_suspect = True
                continue
            is_suspect = status.live == "dead"
            if status != last:
                self._post(StatusChanged(self, status))
                last = status
            if not behind:
                self._stopped.wait(self._interval_s)

    def _status(self, source: LogReader, behind: bool) -> EngineStatus:
        live = observe(self._folder, self._state)
        age = self._folder.heartbeat_age_s()
        is_late = age is not None and age > FRESH_HEARTBEAT_S and live not in (*ENDED, "dead")
        has_tail = live in ("starting", "dead", "failed", "stalled")
        return EngineStatus(
            live,
            float(int(age)) if age is not None and is_late else None,
            tail_of(self._folder) if has_tail else (),
            source.damaged,
            behind,
        )


def tail_of(folder: RunFolder) -> tuple[str, ...]:
    """The last lines of the engine's own output."""
    text = folder.tail_of_engine_log(TAIL_BYTES)
    return tuple(line for line in text.splitlines() if line.strip())[-TAIL_LINES:]
