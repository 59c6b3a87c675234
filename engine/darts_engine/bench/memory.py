"""Memory of a weight step: `python -m darts_engine.bench.memory SIDE BATCH`, one side a process.

The figure is the highest resident memory of the process after one step, minus that before the
supernet was built. So it does not include the import of torch.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

import msgspec

SIDES = ("ours", "reference", "channels_last")


class Memory(msgspec.Struct, frozen=True):
    """Megabytes of a weight step; `ratio` is ours / reference."""

    ratio: float
    ours_mb: float
    reference_mb: float
    channels_last_reference_mb: float
    batch: int


def measure(batch: int) -> Memory:
    """The memory of a weight step of each side; `batch` is its number of images."""
    used = {side: _in_child(side, batch) for side in SIDES}
    return Memory(
        ratio=round(used["ours"] / used["reference"], 3),
        ours_mb=used["ours"],
        reference_mb=used["reference"],
        channels_last_reference_mb=used["channels_last"],
        batch=batch,
    )


def _in_child(side: str, batch: int) -> float:
    command = [sys.executable, "-P", "-m", "darts_engine.bench.memory", side, str(batch)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(json.loads(done.stdout))


def peak_mb() -> float:
    """The highest resident memory of this process so far, in megabytes."""
    # On Linux `ru_maxrss` includes the parent's.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1e3


def _child(side: str, batch: int) -> None:
    import torch

    from darts_engine.bench import steps
    from darts_engine.compute import device as devices
    from darts_engine.supernet.supernet import Supernet

    torch.set_num_threads(1)
    before = peak_mb()
    supernet = Supernet(channels=steps.CHANNELS, layers=steps.LAYERS)
    given = steps.random_batch(batch)
    if side == "ours":
        devices.place(supernet, steps.CPU)
        steps.OurSearch(supernet, 1).weight_step(steps.channels_last(given))
    else:
        last = side == "channels_last"
        plain = steps.plain_of(supernet, last=last)
        plain.weight_step(*(steps.channels_last(given) if last else given))
    print(json.dumps(round(peak_mb() - before, 1)))


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
