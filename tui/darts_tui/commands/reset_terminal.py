"""`darts-tui reset-terminal`: restores a terminal that a full-screen program left in disorder."""

import subprocess
import sys

from darts_engine.run.errors import ExitCode
from darts_tui.console.console import print_err
from darts_tui.console.terminal_modes import RESET


def reset() -> int:
    """Undo the modes of a full-screen program; sends nothing if stdout is not a terminal."""
    if not sys.stdout.isatty():
        print_err("stdout is not a terminal; nothing was sent")
        return ExitCode.OK
    sys.stdout.write(RESET)
    sys.stdout.flush()
    try:
        subprocess.run(["stty", "sane"], stdin=sys.stdout, check=False, stderr=subprocess.DEVNULL)
    except OSError:
        print_err("there is no stty here; type 'reset' if keys still do not show")
    return ExitCode.OK
