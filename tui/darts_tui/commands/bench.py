"""`darts-tui bench`: the engine measures itself in a child process, which prints the table."""

import os
import subprocess
import sys

from darts_tui.launch.child_error import exit_code

BENCH = (sys.executable, "-P", "-m", "darts_engine.bench")
METHODS = (sys.executable, "-P", "-m", "darts_engine.bench.methods")

RECURRENT = (sys.executable, "-P", "-m", "darts_engine.bench.recurrent")


def bench_supernet(*, quick: bool, floor: bool, as_json: bool) -> int:
    """Measure our supernet against a plain one. Returns the child's exit code.

    Args:
        quick: batch 16 on one thread only.
        floor: also measure the machine's best times for the same steps.
        as_json: print one JSON object instead of the table.
    """
    return _run(BENCH, {"--quick": quick, "--floor": floor, "--json": as_json})


def bench_methods(*, quick: bool, as_json: bool) -> int:
    """Measure a step of every search method. Returns the child's exit code.

    Args:
        quick: the small supernet only.
        as_json: print one JSON object instead of the table.
    """
    return _run(METHODS, {"--quick": quick, "--json": as_json})


def bench_recurrent(*, quick: bool, as_json: bool) -> int:
    """Measure our recurrent supernet against a plain one. Returns the child's exit code.

    Args:
        quick: one vocabulary and fewer rounds only.
        as_json: print one JSON object instead of the table.
    """
    return _run(RECURRENT, {"--quick": quick, "--json": as_json})


def _run(program: tuple[str, ...], options: dict[str, bool]) -> int:
    arguments = [*program, *(option for option, is_on in options.items() if is_on)]
    # Spinning threads would slow down their neighbours on a machine with few cores.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, env=environment, check=False)
    return exit_code(done.returncode)
