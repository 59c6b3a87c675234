"""The error of a child process that failed: the lines it printed, and its exit code."""

from collections.abc import Sequence

from darts_engine.run.errors import ExitCode, RunError
from darts_tui.console.safe_text import clean

SHOWN_LINES = 3
LONGEST_LINE = 300


class ChildError(RunError):
    """A child process failed, or an engine ended before it held its run.

    Args:
        what: what happened.
        code: the exit code of the process, which this command ends with too.
        where: the place.
        remedy: what to do next.
    """

    def __init__(self, what: str, code: int, *, where: str, remedy: str) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.exit_code = code  # type: ignore[assignment]


def exit_code(returncode: int) -> int:
    """A process's exit code as a shell gives it: 128 + the signal's number for a killed one.

    Args:
        returncode: of `subprocess`, negative for a signal.
    """
    return returncode if returncode >= 0 else 128 - returncode


def child_error(returncode: int, stderr: str, who: str) -> ChildError:
    """The error for a child process that failed.

    Args:
        returncode: of `subprocess`.
        stderr: its output.
        who: name of the child, for one that printed nothing.
    """
    code = exit_code(returncode)
    shown = explaining_lines(printed_lines(stderr), code)
    shown += [""] * (SHOWN_LINES - len(shown))
    what = shown[0] or f"{who} ended with exit code {code} and said nothing"
    return ChildError(what, code, where=shown[1], remedy=shown[2])


def printed_lines(output: str) -> list[str]:
    """The lines of a process's output that are not empty, made harmless."""
    return [clean(line, LONGEST_LINE) for line in output.splitlines() if line.strip()]


def explaining_lines(lines: Sequence[str], code: int) -> list[str]:
    """The lines that explain a failure with this exit code, at most three.

    Exit code 1 may be a traceback, whose last line explains most. With other codes, up to three
    lines are an error's: what happened, where, and what to do.
    """
    if code != ExitCode.FAILED and len(lines) <= SHOWN_LINES:
        return list(lines)
    return list(lines[-1:])
