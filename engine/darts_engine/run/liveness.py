"""Whether the engine of a run is alive, by its lock.

The log alone does not show it: a killed engine writes nothing. A held lock without a heartbeat
means an engine that is suspended or hangs. A free lock and a log without an end mean an engine that
was killed.
"""

import socket

from darts_engine.run.folder import STALLED_AFTER_S, RunFolder, boot_id
from darts_engine.run.state import RunState

ENDED = ("finished", "stopped", "failed")
STARTING_GRACE_S = 20.0


def observe(folder: RunFolder, state: RunState) -> str:
    """Starting, running, paused, stopping, finished, stopped, failed, dead or stalled.

    dead: the engine was killed. stalled: it lives, but its heartbeat has stopped.

    Raises:
        UnsafeFileError: a file of the run is no plain file of this user.
    """
    if state.phase in ENDED and not folder.is_locked():
        return state.phase
    age = folder.heartbeat_age_s()
    if folder.is_locked():
        if state.phase in ENDED:
            # Either the engine that ended is still exiting, or another one is starting.
            record = folder.read_engine()
            return "starting" if record and record.started > state.last_t else state.phase
        return "stalled" if age is not None and age > STALLED_AFTER_S else state.phase
    if state.phase == "starting" and age is None:
        # The launcher has made the folder; its engine has a grace period to take the lock.
        made = folder.age_s()
        return "starting" if made is not None and made < STARTING_GRACE_S else "dead"
    return "dead"


def is_here(folder: RunFolder) -> bool:
    """Whether the engine's pid is of this machine and boot."""
    record = folder.read_engine()
    return record is not None and (record.host, record.boot_id) == (socket.gethostname(), boot_id())
