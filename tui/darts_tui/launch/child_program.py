"""Runs an engine program in a child process and returns its JSON.

The terminal does not import torch; a program that needs it is a module of
`darts_engine.programs`, which prints its answer as JSON on stdout.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from darts_engine.run.settings.config import Config, to_toml
from darts_engine.run.threads import num_threads
from darts_tui.launch.child_error import child_error


def run_program(
    name: str, arguments: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> bytes:
    """The stdout of `python -m darts_engine.programs.NAME ARGUMENTS`.

    Args:
        name: of the program.
        arguments: for its command line.
        environment: variables on top of this process's.

    Raises:
        ChildError: the program failed; has the message it printed and its exit code.
    """
    # Without -W, warnings would stand between the lines of an error.
    python = [sys.executable, "-P", "-W", "ignore"]
    done = subprocess.run(
        [*python, "-m", f"darts_engine.programs.{name}", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=os.environ | (environment or {}),
    )
    if done.returncode:
        raise child_error(done.returncode, done.stderr.decode("utf-8", "replace"), "the engine")
    return done.stdout


def run_with_config(name: str, config: Config, arguments: Sequence[str | Path]) -> bytes:
    """As `run_program`, with a config in a file as the first argument.

    Raises:
        ChildError: the program failed; has the message it printed and its exit code.
    """
    environment = {
        "PYTHONUTF8": "1",
        # Spinning OpenMP workers make a busy machine slower by an order of magnitude.
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(num_threads(config.engine.threads)),
    }
    with tempfile.TemporaryDirectory(prefix="darts-tui-") as scratch:
        file = Path(scratch) / "config.toml"
        file.write_text(to_toml(config), "utf-8")
        return run_program(name, [file, *arguments], environment)
