"""`engine.json`: which process is, or was last, the engine of a run."""

import os
import socket
import time
from pathlib import Path

import msgspec


class EngineRecord(msgspec.Struct, kw_only=True, frozen=True):
    """A process that took a run.

    Attributes:
        pid: of the process.
        host: its machine.
        boot_id: that machine's boot.
        started: Unix seconds.
        run: the run's id.
        after: number of the last event before the engine; None of versions up to 0.2.0.
    """

    pid: int
    host: str
    boot_id: str
    started: float
    run: str = ""
    after: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process is of this machine and known to have ended."""
        if self.host != socket.gethostname():
            return False
        if self.boot_id != boot_id():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass
        return False


def of_this_process(run: str, after: int | None) -> EngineRecord:
    """The record of this process as the engine of a run."""
    return EngineRecord(
        pid=os.getpid(),
        host=socket.gethostname(),
        boot_id=boot_id(),
        started=time.time(),
        run=run,
        after=after,
    )


def boot_id() -> str:
    """Id of this boot of the machine; a pid of an earlier boot means another process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
