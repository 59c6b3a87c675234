"""Whether the engine of a run is alive, by its lock.

The log alone does not show it: a killed engine writes nothing. A held lock without a heartbeat
means an engine that is suspended or hangs. A free lock and a log without an end mean an engine that
was killed.
"""

import socket
import time
from collections.abc import Callable

from darts_engine.run.folder import STALLED_AFTER_S, RunFolder
from darts_engine.run.lock import boot_id
from darts_engine.run.state import RunState

ENDED = ("finished", "stopped", "failed")
STARTING_GRACE_S = 20.0


class Pulse:
    """How old the heartbeat of a run is for a watcher who looks again and again.

    The time of the heartbeat is by another clock than the watcher's: that of a file server, or that
    of this machine before it was set. Only the first look compares the two. From then on the age is
    the time since the heartbeat was seen to change.

    Args:
        folder: the run.
        clock: gives seconds that only go on.
    """

    def __init__(self, folder: RunFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._beat: float | None = None
        self._seen = self._age_then = 0.0

    def age_s(self) -> float | None:
        """Seconds since the last heartbeat; None before the first."""
        beat, now = self._folder.heartbeat_s(), self._clock()
        if beat is None:
            return None
        if beat != self._beat:
            is_first = self._beat is None
            self._age_then = (self._folder.heartbeat_age_s() or 0.0) if is_first else 0.0
            self._beat, self._seen = beat, now
        return self._age_then + now - self._seen


def observe(folder: RunFolder, state: RunState, pulse: Pulse | None = None) -> str:
    """Starting, running, paused, stopping, finished, stopped, failed, dead or stalled.

    dead: the engine was killed. stalled: it lives, but its heartbeat has stopped.

    Args:
        folder: the run.
        state: of its log.
        pulse: of a watcher who has looked before.

    Raises:
        UnsafeFileError: a file of the run is no plain file of this user.
    """
    if state.phase in ENDED and not folder.is_locked():
        return state.phase
    age = (pulse or Pulse(folder)).age_s()
    if folder.is_locked():
        if state.phase in ENDED:
            # Either the engine that ended is still exiting, or another one is starting.
            return "starting" if _is_new(folder, state) else state.phase
        return "stalled" if age is not None and age > STALLED_AFTER_S else state.phase
    if state.phase == "starting" and age is None:
        # The launcher has made the folder; its engine has a grace period to take the lock.
        made = folder.age_s()
        return "starting" if made is not None and made < STARTING_GRACE_S else "dead"
    return "dead"


def _is_new(folder: RunFolder, state: RunState) -> bool:
    """Whether the engine took the run after it had ended."""
    record = folder.read_engine()
    if record is None:
        return False
    if record.after is None:
        return record.started > state.last_t
    return record.after >= state.ended_seq


def is_here(folder: RunFolder) -> bool:
    """Whether the engine's pid is of this machine and boot."""
    record = folder.read_engine()
    return record is not None and (record.host, record.boot_id) == (socket.gethostname(), boot_id())
