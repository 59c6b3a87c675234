"""How many CPU threads a run gets; the launcher and the engine use the same rule."""

import os


def num_threads(requested: int, processes: int = 1) -> int:
    """Threads of torch: as requested, or (0) one less than the cores that this process may use.

    Several processes of a run on this machine share those cores.

    One core is left to the watcher. Cores that a job scheduler or a container withholds do not
    count: threads without a core wait for one another.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return requested or max(1, (cores - 1) // processes)
