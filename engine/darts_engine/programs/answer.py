"""Writes a child program's answer: JSON on stdout, or a fault in three lines on stderr."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from darts_engine.compute import out_of_memory
from darts_engine.run.errors import ExitCode, RunError


def answer(work: Callable[[], Any]) -> int:
    """Do the work and write its result. Returns: the exit status.

    Args:
        work: returns a value that msgspec can encode. What it prints goes to stderr.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            content = msgspec.json.encode(work())
    except RunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if not out_of_memory.is_out_of_memory(error):
            raise
        print(out_of_memory.explain(), file=sys.stderr)
        return ExitCode.OUT_OF_MEMORY
    sys.stdout.buffer.write(content)
    return ExitCode.OK
