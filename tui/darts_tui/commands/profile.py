"""`darts-tui profile`: the engine profiles search steps in a child process."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from darts_engine.run.errors import RunError
from darts_engine.run.settings.config import SearchConfig, to_toml
from darts_tui.console.safe_text import clean_block
from darts_tui.launch.child_error import child_error

PROFILER = (sys.executable, "-P", "-m", "darts_engine.programs.profile")
TRACE = "darts-profile.json.gz"

ENVIRONMENT = {
    "PYTHONUTF8": "1",
    # As in a run. The two levels keep the profiler's messages off stderr.
    "OMP_WAIT_POLICY": "PASSIVE",
    "KINETO_LOG_LEVEL": "5",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def profile_search(
    chosen: SearchConfig, steps: int, out: Path, *, as_json: bool
) -> tuple[str, Path]:
    """Profile steps of a search, without making a run.

    Args:
        chosen: the search.
        steps: how many to take the mean of.
        out: folder for the Chrome trace of the last step; made if it is not there.
        as_json: return JSON text instead of the table.

    Returns:
        The table, or JSON text, and the trace's path.

    Raises:
        RunError: the trace cannot be written, or the search failed; has its exit code.
    """
    trace = out / TRACE
    was_there = trace.exists()
    _make_writable(trace)
    with tempfile.TemporaryDirectory(prefix="darts-tui-") as scratch:
        config = Path(scratch) / "config.toml"
        config.write_text(to_toml(chosen), "utf-8")
        command = [*PROFILER, str(config), "--steps", str(steps), "--trace", str(trace.resolve())]
        done = subprocess.run(
            [*command, "--json"] if as_json else command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            env=os.environ | ENVIRONMENT,
        )
    if done.returncode:
        if not was_there:
            with contextlib.suppress(OSError):
                trace.unlink()
        raise child_error(done.returncode, done.stderr, "the profiler")
    return clean_block(done.stdout), trace


def _make_writable(trace: Path) -> None:
    """Check before the work that the trace can be written."""
    try:
        trace.parent.mkdir(parents=True, exist_ok=True)
        trace.open("ab").close()
    except OSError as error:
        raise RunError(
            f"the trace cannot be written: {error.strerror}",
            where=str(error.filename or trace),
            remedy="name another folder with --out",
        ) from None
