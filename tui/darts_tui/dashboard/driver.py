"""Textual's terminal driver with an input thread that survives any bytes.

After tmux is detached and attached again, it may report the mouse in the old X10 form, whose
coordinates are raw bytes. Textual 8.2.8 decodes them as UTF-8 and crashes
(https://github.com/Textualize/textual/issues/6668), or takes a coordinate for a key. This driver
drops such reports before decoding; other bytes that are not UTF-8 become U+FFFD.

A terminal may answer the query of another program (OSC and DCS strings, for example its colours)
after the dashboard has started. Textual would take the answer for keys, of which ":" opens the
palette. This driver drops such answers too.
"""

import codecs
import contextlib
import logging
import os
import re
import select
import signal
import sys
from typing import Any

from textual._parser import ParseError
from textual._xterm_parser import XTermParser

from darts_tui.console.safe_text import clean
from darts_tui.console.terminal_modes import STDERR, is_in_foreground
from darts_tui.dashboard.job_control import JobControlDriver

log = logging.getLogger(__name__)

READ_BYTES = 4096
NOTIFICATION = 160
POLL_S = 0.1
# If the end of a paste is lost, every later key counts as pasted. This many polls without input end
# a paste.
QUIET_POLLS = 5
PASTE_END = "\x1b[201~"
_NO_KEYS = re.compile(rb"\x1b\[M[\x20-\xff]{3}|\x1b[\]P][^\x07\x1b]{1,256}(?:\x07|\x1b\\)")
_TORN = re.compile(rb"(?:\x1b\[M[\x20-\xff]{0,2}|\x1b[\]P][^\x07\x1b]{0,256}\x1b?)\Z")


class InputFilter:
    """Decodes the bytes of a terminal and drops X10 mouse reports and answers."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._kept = b""

    def feed(self, data: bytes) -> str:
        """Decode bytes; the beginning of a report is kept until the rest of it arrives."""
        data = _NO_KEYS.sub(b"", self._kept + data)
        torn = _TORN.search(data)
        self._kept = data[torn.start() :] if torn else b""
        return self._decode(data[: torn.start()] if torn else data)

    def idle(self) -> None:
        """Drop the beginning of a report: no input has come for a while, so no rest will."""
        self._kept = b""


class SafeDriver(JobControlDriver):
    """The Linux and macOS driver with `InputFilter` in front of its parser.

    It draws on stdout where stderr is redirected, as in `darts-tui search 2>errors.txt`. Textual
    draws on stderr only.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not os.isatty(STDERR):
            self._file = sys.__stdout__

    def notify_desktop(self, text: str) -> None:
        """Send a desktop notification (OSC 9); terminals without them ignore it."""
        self.write(f"\x1b]9;darts-tui: {clean(text, NOTIFICATION)}\x07")
        self.flush()

    def run_input_thread(self) -> None:
        """Read keys and mouse until the app ends."""
        parser = XTermParser(self._debug)
        source, quiet = InputFilter(), 0
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno], [], [], POLL_S)
            quiet = 0 if ready else quiet + 1
            if not is_in_foreground():
                # What is typed now is for another program, and so is the terminal.
                self.yield_terminal()
                self.exit_event.wait(POLL_S)
            elif ready:
                data = self._read()
                if not data:
                    # The terminal is gone; `_read` has sent the signal that ends the app.
                    self.exit_event.wait(POLL_S)
                # An empty string would end the parser.
                if text := source.feed(data):
                    parser = self._take(parser, text)
            else:
                source.idle()
                if quiet == QUIET_POLLS:
                    parser = self._take(parser, PASTE_END)
            for event in parser.tick():
                self.process_message(event)
        with contextlib.suppress(EOFError, ParseError):
            for _ in parser.feed(""):
                pass

    def _read(self) -> bytes:
        data = b""
        with contextlib.suppress(OSError):
            data = os.read(self.fileno, READ_BYTES)
        if not data and is_in_foreground():
            # The terminal is gone. Its own hang-up signal goes to the leader of the session only.
            os.kill(os.getpid(), signal.SIGHUP)
        return data

    def _take(self, parser: XTermParser, text: str) -> XTermParser:
        """Parse the text and post its events. Returns the parser for the next text.

        An impossible report, for example of a window without columns, makes Textual's parser raise;
        then the next text gets a new parser.
        """
        try:
            for event in parser.feed(text):
                self.process_message(event)
        except Exception:
            log.exception("what the terminal sent makes no sense: %r", text[:200])
            return XTermParser(self._debug)
        return parser
