"""The benchmark: the engine measures itself in a child, whose table goes to our own output."""

import os
import subprocess
import sys

from darts_tui.launch.engine_process import exit_code

BENCH = (sys.executable, "-P", "-m", "darts_engine.bench")
METHODS = (sys.executable, "-P", "-m", "darts_engine.bench.methods")


def bench_supernet(*, quick: bool, floor: bool, as_json: bool) -> int:
    """Measure our supernet against a plain one, and give the child's exit code.

    Args:
        quick: batch 16 on one thread only.
        floor: the machine's best times for the same steps too.
        as_json: one JSON object instead of the table.
    """
    wanted = {"--quick": quick, "--floor": floor, "--json": as_json}
    return _carry_out(BENCH, wanted)


def bench_methods(*, quick: bool, as_json: bool) -> int:
    """Measure a step of every search method, and give the child's exit code.

    Args:
        quick: the small supernet only.
        as_json: one JSON object instead of the table.
    """
    return _carry_out(METHODS, {"--quick": quick, "--json": as_json})


def _carry_out(program: tuple[str, ...], wanted: dict[str, bool]) -> int:
    arguments = [*program, *(option for option, is_on in wanted.items() if is_on)]
    # Threads that spin would slow their own neighbours on a machine with few cores.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, env=environment, check=False)
    return exit_code(done.returncode)
