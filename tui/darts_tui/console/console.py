"""How commands print: JSON and lines on stdout, errors in at most three lines on stderr.

No text is printed that could steer the terminal.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import typer

from darts_engine.run.errors import ExitCode, RunError
from darts_tui.console.safe_text import clean
from darts_tui.console.streams import OutputError

LONGEST_LINE = 500


def print_err(text: str) -> None:
    """Print a line on stderr, with control characters made harmless."""
    print(clean(text, LONGEST_LINE), file=sys.stderr, flush=True)


def print_out(text: object) -> None:
    """Print a line on stdout, with control characters made harmless."""
    print(clean(text))


def print_json(value: Any) -> None:
    """Print a value as JSON for programs.

    The text is ASCII, so that no control or direction character reaches a terminal.
    """
    print(json.dumps(value, indent=2))


def print_error(error: RunError, code: int | None = None) -> int:
    """Print an error in at most three lines. Returns its exit code, or `code` if given."""
    for line in (error.what, error.where, error.remedy):
        if line:
            print_err(line)
    return int(error.exit_code if code is None else code)


def print_lost(error: OutputError) -> int:
    """Say that the output is not complete, if anybody is there to be told. Returns its exit code.

    A terminal that is gone is told of by its hang-up signal.
    """
    return int(error.exit_code) if error.is_silent else print_error(error)


def print_usage_error(error: typer.TyperException) -> int:
    """Print what is wrong with a command line, and the command for its help."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "darts-tui"
    # Without arguments typer has printed the help, and the message is empty.
    if error.message:
        print_error(RunError(error.format_message(), remedy=f"'{path} --help' says what there is"))
    return ExitCode.USAGE


def report_crash(error: Exception) -> None:
    """Report a bug of this program: one line that names the file with the traceback."""
    text = "".join(traceback.format_exception(error))
    path = _save(text)
    where = f"the traceback is in {path}" if path else "run it again with --debug to see where"
    print_err(f"darts-tui failed: {type(error).__name__}: {clean(error, 200)}; {where}")


def _save(text: str) -> Path | None:
    name = f"darts-tui-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (_state_folder, lambda: Path(tempfile.gettempdir())):
        try:
            path = folder() / name
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except (OSError, RuntimeError):
            continue
        return path
    return None


def _state_folder() -> Path:
    from platformdirs import user_log_path

    return user_log_path("darts-tui", ensure_exists=True)
