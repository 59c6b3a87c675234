"""The terminal's modes: what puts a terminal back in order after a full-screen program."""

import contextlib
import os
import signal
import termios
import threading
from typing import Any

# In order: end a synchronised update, leave the alternate screen, no mouse reports (six kinds), no
# focus reports, no bracketed paste, no resize reports, pop the keyboard protocol, wrap lines, show
# the cursor, plain colours.
RESET = (
    "\x1b[?2026l\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"
    "\x1b[?1004l\x1b[?2004l\x1b[?2048l\x1b[<u\x1b[?7h\x1b[?25h\x1b[0m\r"
)
SAVE_CURSOR = "\x1b7"
# What ends a program unless it is handled, and is sent by people, shells and batch systems. SIGABRT
# and faults (SIGSEGV, SIGBUS) are not here: the interpreter may not run any more.
ENDING = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTERM,
    signal.SIGXCPU,
)
STDIN, STDOUT, STDERR = 0, 1, 2
# A terminal that takes no output, for example after ctrl+s, must not hold up the end.
PATIENCE_S = 1.0


def is_in_foreground() -> bool:
    """Whether this process may change the terminal: it is not a background job of a shell."""
    try:
        return os.tcgetpgrp(STDIN) == os.getpgrp()
    except OSError:
        # Not this session's terminal, so no shell shares it with other jobs.
        return True


class Modes:
    """The line discipline's settings at one moment, to be restored later.

    Raises:
        termios.error: stdin is not a terminal.
    """

    def __init__(self) -> None:
        self._attributes: list[Any] = termios.tcgetattr(STDIN)

    def have_changed(self) -> bool:
        """Whether the terminal's settings are others now. False if the terminal is gone."""
        try:
            return bool(termios.tcgetattr(STDIN) != self._attributes)
        except termios.error:
            return False

    def restore(self) -> None:
        """Restore the settings, leave all modes of a full-screen program, and drop unread input.

        A background job leaves the settings and the input to the shell, which uses them.
        """
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            if is_in_foreground():
                with contextlib.suppress(termios.error):
                    termios.tcsetattr(STDIN, termios.TCSANOW, self._attributes)
                    termios.tcflush(STDIN, termios.TCIFLUSH)
            reset_patiently()
        finally:
            signal.signal(signal.SIGTTOU, before)


def save_cursor() -> None:
    """Make `RESET` return to this place if no program has entered the alternate screen since."""
    _write(SAVE_CURSOR)


def write_reset() -> None:
    """Leave all modes of a full-screen program; blocks while the terminal takes no output."""
    _write(RESET)


def reset_patiently() -> None:
    """Leave all modes of a full-screen program, or give up where the terminal takes no output."""
    writer = threading.Thread(target=write_reset, daemon=True)
    writer.start()
    writer.join(PATIENCE_S)


def _write(sequences: str) -> None:
    # Textual draws on stderr.
    out = STDERR if os.isatty(STDERR) else STDOUT
    with contextlib.suppress(OSError):
        os.write(out, sequences.encode())
