"""Starts the other processes of a run, and finds out which of them this one is.

Rank 0 is the run's engine: it holds the lock, writes the log and reads the commands. The others
only compute. `python -m darts_engine RUN --nproc N` starts them itself, and they meet through a
file that only their user can open and over the loopback interface: no port is open to the network.
Under torchrun, which opens one, the places come from its environment. Imports no torch.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEETING = "DARTS_ENGINE_MEETING"
# Environment variables of a process's place, by torchrun's names.
PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", MEETING)
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
GRACE_S = 10.0
WATCH_S = 1.0


@dataclass(frozen=True)
class Place:
    """Rank of a process among those of its run.

    Args:
        rank: from 0.
        size: number of processes.
        local_rank: rank on its machine.
        local_size: number of processes on its machine.
        meeting: file through which they connect; "" under torchrun.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    meeting: str = ""

    @classmethod
    def of_environment(cls) -> "Place":
        """The place in the environment variables of this process; `ALONE` without them.

        Raises:
            ValueError: the variables are no numbers.
        """
        rank, size = (int(os.environ.get(name) or fallback) for name, fallback in _GLOBAL)
        local_rank = int(os.environ.get("LOCAL_RANK") or rank)
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE") or size)
        return cls(rank, size, local_rank, local_size, os.environ.get(MEETING, ""))

    def environment(self) -> dict[str, str]:
        """Environment variables for a process of this place."""
        numbers = (self.rank, self.size, self.local_rank, self.local_size)
        return dict(zip(PLACE, [*map(str, numbers), self.meeting], strict=True))


ALONE = Place()
_GLOBAL = (("RANK", "0"), ("WORLD_SIZE", "1"))


def end_with_rank_0(place: Place) -> None:
    """End this process as soon as the one that started it is gone."""
    if place.meeting:
        threading.Thread(target=_watch, args=(os.getppid(),), name="watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


@contextmanager
def spawn_ranks(run: Path, nproc: int) -> Iterator[Place]:
    """Start the other `nproc` - 1 processes of the run; the context value is rank 0's place.

    They write to the same stdout and stderr, and all have ended when the context ends.
    """
    if nproc == 1:
        yield Place.of_environment()
        return
    with tempfile.TemporaryDirectory(prefix="darts-engine-") as folder:
        place = Place(0, nproc, 0, nproc, str(Path(folder) / "meeting"))
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", LOOPBACK)
        others: list[subprocess.Popen[bytes]] = []
        grace_s = 0.0
        try:
            for rank in range(1, nproc):
                there = Place(rank, nproc, rank, nproc, place.meeting)
                others.append(_start(run, there))
            yield place
            grace_s = GRACE_S
        finally:
            for process in others:
                _end(process, grace_s)


def _start(run: Path, place: Place) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "darts_engine", str(run)],
        stdin=subprocess.DEVNULL,
        env=os.environ | place.environment(),
    )


def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        # It holds nothing on the disk, and may wait for a rank that is gone.
        process.kill()
        process.wait()
