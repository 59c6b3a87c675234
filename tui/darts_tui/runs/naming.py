"""Names a run in commands that the user may copy from a message."""

import os
import shlex
from pathlib import Path

from darts_engine.run.folder import NAME_PATTERN, RunFolder

RUNS_VARIABLE = "DARTS_TUI_RUNS"
DEFAULT_RUNS = Path("runs")


def called(folder: RunFolder) -> str:
    """The run's name if it is in the default folder of runs, else its quoted path."""
    runs = Path(os.environ.get(RUNS_VARIABLE) or DEFAULT_RUNS)
    path = folder.path.absolute()
    if NAME_PATTERN.match(folder.name) and runs.resolve() == path.parent.resolve():
        return folder.name
    return shlex.quote(str(path))


def command(word: str, folder: RunFolder) -> str:
    """A whole command, as in "'darts-tui resume first'"."""
    return f"'darts-tui {word} {called(folder)}'"
