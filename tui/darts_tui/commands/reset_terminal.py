"""`darts-tui reset-terminal`: restores a terminal that a full-screen program left in disorder."""

import subprocess
import sys

from darts_engine.run.errors import ExitCode
from darts_tui.console.console import print_err

# In order: end a synchronised update, leave the alternate screen, no mouse reports (five kinds),
# no focus reports, no bracketed paste, pop the keyboard protocol, wrap lines, show the cursor,
# plain colours.
RESET = (
    "\x1b[?2026l\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l"
    "\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[?7h\x1b[?25h\x1b[0m\r"
)


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
