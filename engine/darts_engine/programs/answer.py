"""How a child of the terminal floor answers: JSON on stdout, or three lines on stderr."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import torch

from darts_engine.run.errors import ExitCode, RunError


def answer(work: Callable[[], Any]) -> int:
    """Do the work and tell what came of it; the exit status.

    Args:
        work: gives what msgspec can write. What it prints goes to stderr: stdout is the answer's.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            content = msgspec.json.encode(work())
    except RunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (MemoryError, torch.OutOfMemoryError):
        print("out of memory", file=sys.stderr)
        return ExitCode.OUT_OF_MEMORY
    sys.stdout.buffer.write(content)
    return ExitCode.OK
