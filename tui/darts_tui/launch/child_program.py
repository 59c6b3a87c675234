"""Asking the engine: what needs torch is answered by a child, for this floor has none."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from darts_engine.run.errors import ExitCode
from darts_engine.run.settings.config import Config, to_toml
from darts_engine.run.threads import num_threads
from darts_tui.console.safe_text import clean
from darts_tui.launch.engine_process import EngineDiedError, exit_code

SHOWN_LINES = 3


def ask(module: str, config: Config, arguments: Sequence[str | Path]) -> bytes:
    """The answer of `python -m darts_engine.MODULE CONFIG.toml ARGUMENTS`.

    Args:
        module: of the engine; answers with JSON on its stdout.
        config: handed over as a file.
        arguments: come after it.

    Raises:
        EngineDiedError: it ended without an answer; carries its words and exit code.
    """
    # Without -W its warnings would stand between the lines of an error.
    program = [sys.executable, "-P", "-W", "ignore", "-m", f"darts_engine.programs.{module}"]
    environment = os.environ | {
        "PYTHONUTF8": "1",
        # Spinning OpenMP workers make a busy machine slower by an order of magnitude.
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(num_threads(config.engine.threads)),
    }
    with tempfile.TemporaryDirectory(prefix="darts-tui-") as scratch:
        file = Path(scratch) / "config.toml"
        file.write_text(to_toml(config), "utf-8")
        done = subprocess.run(
            [*program, file, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=environment,
        )
    if done.returncode:
        raise died(done.returncode, done.stderr.decode("utf-8", "replace"), "the engine")
    return done.stdout


def died(returncode: int, said: str, who: str) -> EngineDiedError:
    """The error that tells of a failed child.

    Args:
        returncode: as subprocess gives it.
        said: its stderr.
        who: it was, for one that said nothing.
    """
    code = exit_code(returncode)
    lines = [clean(line, 300) for line in said.splitlines() if line.strip()]
    # Exit code 1 may be a traceback, of which the last line says most; others are explanations.
    told = lines if code != ExitCode.FAILED and len(lines) <= SHOWN_LINES else lines[-1:]
    told += [""] * (SHOWN_LINES - len(told))
    what = told[0] or f"{who} ended with exit code {code} and said nothing"
    return EngineDiedError(what, code, where=told[1], remedy=told[2])
