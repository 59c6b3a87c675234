"""How many CPU threads a run gets: one answer for the launcher and the engine."""

import os


def num_threads(asked: int, processes: int = 1) -> int:
    """Threads of torch: what was asked for, or (0) one less than the cores this process may use.

    Where several processes of a run are on this machine, each gets its share of those.

    One core is left to the watcher, whose neighbour they would spin on. Cores that a job scheduler
    or a container keeps from us do not count: threads without a core wait for one another.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return asked or max(1, (cores - 1) // processes)
