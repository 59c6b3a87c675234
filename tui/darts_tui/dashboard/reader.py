"""Reading a run folder beside the dashboard: a thread turns bytes into events, the app folds them.

Files may lie on a network disk that hangs, so that nothing here runs in the event loop. The thread
hands over one bounded batch at a time and waits until it is folded: a log of a million events is
read at full speed, and the keys stay alive.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from textual.message import Message

from darts_engine.run.errors import RunError
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder, list_runs
from darts_engine.run.liveness import observe
from darts_engine.run.log import MAX_LINE_BYTES, LogReader
from darts_engine.run.settings.config import to_plain
from darts_engine.run.state import RunState, fold_all

log = logging.getLogger(__name__)

# Above the longest line, so that every read can finish one.
BATCH_BYTES = 2 * MAX_LINE_BYTES
TAIL_BYTES = 8192
TAIL_LINES = 12
GLANCE_BYTES = 256 * 1024
FOLD_DEADLINE_S = 30.0


class Pulse(NamedTuple):
    """How the engine is.

    Attributes:
        live: what `liveness.observe` says.
        heartbeat_s: seconds since it last said that it lives.
        tail: the last lines of engine.log, read while they matter.
        damaged: lines of the log that were no events.
        behind: whether the log holds more than was read.
    """

    live: str
    heartbeat_s: float | None
    tail: tuple[str, ...]
    damaged: int
    behind: bool


@dataclass
class EventsRead(Message):
    """Events to fold, and a flag to set when that is done."""

    reader: "Reader"
    history: list[AnyEvent]
    folded: threading.Event


@dataclass
class PulseTaken(Message):
    """The engine's condition has changed."""

    reader: "Reader"
    pulse: Pulse


class Reader:
    """Follows one run until `stop` is called.

    Args:
        folder: the run.
        state: the fold; this thread only looks at its phase.
        interval_s: pause between looks at the disk.
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
        try:
            self._loop(LogReader(self._folder.events))
        except Exception:
            log.exception("reading %s ended", self._folder.path)

    def _loop(self, source: LogReader) -> None:
        last: Pulse | None = None
        suspected = False
        while not self._stopped.is_set():
            history = source.read(BATCH_BYTES)
            if history:
                folded = threading.Event()
                self._post(EventsRead(self, history, folded))
                folded.wait(FOLD_DEADLINE_S)
            behind = source.is_behind() and bool(history)
            pulse = self._pulse(source, behind)
            if pulse.live == "dead" and not suspected:
                # It may have ended between our looks at its log and at its lock: read once more.
                suspected = True
                continue
            suspected = pulse.live == "dead"
            if pulse != last:
                self._post(PulseTaken(self, pulse))
                last = pulse
            if not behind:
                self._stopped.wait(self._interval_s)

    def _pulse(self, source: LogReader, behind: bool) -> Pulse:
        live = observe(self._folder, self._state)
        age = self._folder.heartbeat_age_s()
        speaks = live in ("starting", "dead", "failed", "stalled")
        return Pulse(
            live,
            # Whole seconds, and only once it is late: a fresh heartbeat is no news.
            float(int(age)) if age is not None and age > 3 and live not in ENDED_QUIETLY else None,
            tail_of(self._folder) if speaks else (),
            source.damaged,
            behind,
        )


ENDED_QUIETLY = ("finished", "stopped", "failed", "dead")


def tail_of(folder: RunFolder) -> tuple[str, ...]:
    """The last lines of the engine's own output."""
    try:
        with folder.engine_log.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(line for line in text.splitlines() if line.strip())[-TAIL_LINES:]


@dataclass(frozen=True)
class Glance:
    """One line about a run, from the end of its log."""

    folder: RunFolder
    kind: str
    state: str
    epoch: int
    epochs: int
    best: float | None
    elapsed_s: float
    last_t: float


def glances(folder: RunFolder) -> list[Glance]:
    """All runs beside this one, the newest first. Reads files: not for the event loop."""
    return [glance(run) for run in list_runs(folder.path.parent)]


def glance(folder: RunFolder) -> Glance:
    """What the end of a run's log tells: cheap also where the log is huge."""
    try:
        size = folder.events.stat().st_size
    except OSError:
        size = 0
    # The first event says what the run is, the last ones how it is; the middle may be huge.
    start = max(0, size - GLANCE_BYTES)
    state = fold_all(LogReader(folder.events).read(GLANCE_BYTES)[: 1 if start else None])
    if start:
        fold_all(LogReader(folder.events, offset=start).read(), state)
    kind, epochs = state.kind, state.total_epochs
    if state.started is None:
        try:
            config = folder.read_config()
        except RunError:
            pass
        else:
            kind, epochs = str(to_plain(config)["kind"]), config.epochs
    best = state.result.best_top1 if state.result else None
    if best is None and state.best is not None:
        best = state.best.valid_top1
    live = observe(folder, state)
    return Glance(folder, kind, live, state.epoch, epochs, best, state.elapsed_s, state.last_t)
