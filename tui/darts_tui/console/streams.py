"""The standard streams of a command: one may be closed, its reader gone, or its disk full.

What cannot be printed on stdout ends the command with an error: a file of results that lacks its
end must not pass for a whole one. What cannot be printed on stderr is dropped, because there is no
other place to say it; the exit code still says what happened.
"""

import errno
import io
import os
import signal
import sys

from darts_engine.run.errors import ExitCode, RunError

STDIN, STDOUT, STDERR = 0, 1, 2


class OutputError(RunError):
    """Stdout takes no more: its disk is full, its reader has ended, or its terminal is gone.

    Attributes:
        is_silent: whether nobody is there to be told: the reader or the terminal has gone.
    """

    def __init__(self, error: OSError) -> None:
        self.is_silent = error.errno in (errno.EPIPE, errno.EIO)
        super().__init__(
            f"the output cannot be written: {error.strerror}",
            where="stdout",
            remedy="send it to a disk with room, and run the command again",
        )
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.exit_code = ExitCode.NO_SPACE
        elif self.is_silent:
            # What the signal would have made of it: of a pipe, or of a terminal's hang-up.
            number = signal.SIGPIPE if error.errno == errno.EPIPE else signal.SIGHUP
            self.exit_code = 128 + number  # type: ignore[assignment]


class _Stream(io.FileIO):
    """A standard stream that fails at most once, with `OutputError`, and stderr never."""

    failure: OutputError | None = None

    def write(self, data, /):  # type: ignore[no-untyped-def]
        """Write, as any file."""
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = OutputError(error)
                if self.fileno() != STDERR:
                    raise self.failure from None
        return memoryview(data).nbytes


def prepare() -> None:
    """Make the standard streams of this process such that printing to them is safe.

    A closed one becomes the null device: the next file that is opened would take its number, and
    get what is printed. Characters that a terminal's encoding lacks become question marks.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = open(STDIN, closefd=False)  # noqa: SIM115
    sys.stdout = _stream(STDOUT, sys.stdout)
    sys.stderr = _stream(STDERR, sys.stderr)


def _stream(descriptor: int, before: object) -> io.TextIOWrapper:
    known = before if isinstance(before, io.TextIOWrapper) else None
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(descriptor, "w", closefd=False)),
        encoding=known.encoding if known else "utf-8",
        errors="replace",
        line_buffering=known.line_buffering if known else True,
        write_through=known.write_through if known else False,
    )


def finish() -> OutputError | None:
    """Write what is still buffered. Returns: why stdout is not complete, or None."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OutputError as error:
            return error
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Stream) else None
