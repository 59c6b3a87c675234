"""A run of several processes: which of them this one is, and how the others are started.

Rank 0 is the run's engine: it holds the lock, writes the log and reads the commands. The others
compute along. `python -m darts_engine RUN --nproc N` starts them itself, and they meet through a
file that only their user can open and over the loopback interface: no port is open to the network.
Under torchrun, which opens one, the places come from its environment. Knows no torch.
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
# What decides a process's place, by torchrun's names.
PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", MEETING)
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
GRACE_S = 10.0
WATCH_S = 1.0


@dataclass(frozen=True)
class Place:
    """Where a process stands among those of its run.

    Args:
        rank: its number, from 0.
        size: how many there are.
        local_rank: its number on its machine.
        local_size: how many there are on its machine.
        meeting: the file they meet through; "" where torchrun's environment tells.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    meeting: str = ""

    @classmethod
    def of_environment(cls) -> "Place":
        """The place that torchrun or rank 0 gave this process; alone if nobody did.

        Raises:
            ValueError: the environment holds no numbers.
        """
        rank, size = (int(os.environ.get(name) or fallback) for name, fallback in _GLOBAL)
        local_rank = int(os.environ.get("LOCAL_RANK") or rank)
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE") or size)
        return cls(rank, size, local_rank, local_size, os.environ.get(MEETING, ""))

    def environment(self) -> dict[str, str]:
        """What tells a new process that this is its place."""
        numbers = (self.rank, self.size, self.local_rank, self.local_size)
        return dict(zip(PLACE, [*map(str, numbers), self.meeting], strict=True))


ALONE = Place()
_GLOBAL = (("RANK", "0"), ("WORLD_SIZE", "1"))


def end_with_rank_0(place: Place) -> None:
    """End this process as soon as the one that started it is gone, whatever it waits for."""
    if place.meeting:
        threading.Thread(target=_watch, args=(os.getppid(),), name="watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


@contextmanager
def spawn_ranks(run: Path, nproc: int) -> Iterator[Place]:
    """Rank 0's place, while the other `nproc` - 1 processes of the run are there.

    They write to the same stdout and stderr, and none is left when the context ends. With an
    `nproc` of 1 nobody is started.
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
        # It holds nothing on the disk, and may wait for a rank that is no more.
        process.kill()
        process.wait()
