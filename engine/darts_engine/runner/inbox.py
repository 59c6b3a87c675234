"""Commands and signals that the engine has received, read between two steps.

Handlers only set flags: a Python handler waits for the running C call, and saving from inside one
corrupts what it interrupts. A second signal of the same kind ends the process at once, if it comes
later than `SAME_S`: batch systems and systemd signal every process of a job, so that the engine
gets one signal from them and the same again from its launcher, which passes its own on.
"""

import contextlib
import io
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from types import FrameType

from darts_engine.run import commands, events
from darts_engine.run.commands import AnyCommand
from darts_engine.run.errors import ExitCode, UnsafeFileError
from darts_engine.run.folder import RunFolder

MAX_PER_SECOND = 20
READ_BYTES = 64 * commands.MAX_LINE_BYTES
# Who writes more between two steps floods too; it may be a hole of any size.
MAX_BEHIND_BYTES = 16 * READ_BYTES

SIGNAL_EXIT = {
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGUSR1: ExitCode.REQUEUE,
}


# Signals of one kind are one order until none has come for this long.
SAME_S = 1.0


class Signals:
    """Records which signal is to end the engine, if any."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._last_s = 0.0

    def install(self) -> None:
        """Handle the signals that end a run. A hang-up is ignored: runs outlive their terminal."""
        for number in SIGNAL_EXIT:
            signal.signal(number, self._handle)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        received, now = signal.Signals(number), time.monotonic()
        if self.received == received != signal.SIGUSR1 and now - self._last_s > SAME_S:
            os._exit(SIGNAL_EXIT[received])
        self.received, self._last_s = received, now


class Inbox:
    """Reads `commands.jsonl` and rejects lines that are no commands.

    Lines that were there before the inbox was opened were meant for an earlier engine: skipped.

    Raises:
        UnsafeFileError: the file of commands is no plain file of this user.
    """

    def __init__(self, folder: RunFolder, emit: Callable[[events.Event], object]) -> None:
        self._folder, self._name = folder, folder.commands.name
        self._emit = emit
        self._offset = folder.size_of(folder.commands)
        self._has_refused = self._is_in_long_line = False
        self._window: list[float] = []
        # Bytes of a flood that were not looked at, and when that was told.
        self._left_out, self._told_of_flood = 0, float("-inf")
        self._waiting: deque[AnyCommand] = deque()

    def take(self) -> AnyCommand | None:
        """The next command, or None. Lines before it that are no commands are rejected."""
        if not self._waiting:
            self._read()
        return self._waiting.popleft() if self._waiting else None

    def _read(self) -> None:
        if self._is_flooded():
            self._skip()
        else:
            data = self._news()
            stream = io.BytesIO(data)
            for line in stream:
                if self._is_flooded():
                    self._left_out += len(data) - stream.tell() + len(line)
                    self._skip()
                    break
                self._window.append(time.monotonic())
                if not line.strip():
                    continue
                try:
                    self._waiting.append(commands.decode(line.rstrip(b"\n")))
                except ValueError as error:
                    self._emit(events.CommandRejected(reason=str(error)[:300]))
        if self._left_out:
            self._tell_of_flood()

    def _skip(self) -> None:
        """Leave out all that is written by now: a flood must not cost the time to look at it."""
        with contextlib.suppress(OSError, UnsafeFileError):
            with self._folder.open() as folder:
                descriptor = folder.open_to_read(self._name)
            try:
                end = os.fstat(descriptor).st_size
                if end > self._offset:
                    # The rest of a line that is half written by now is no line of its own.
                    self._is_in_long_line = os.pread(descriptor, 1, end - 1) != b"\n"
                    self._left_out += end - self._offset
                    self._offset = end
            finally:
                os.close(descriptor)

    def _tell_of_flood(self) -> None:
        # Once a second: a flood of commands must not become a flood of events.
        now = time.monotonic()
        if now - self._told_of_flood >= 1.0:
            most = f"{MAX_PER_SECOND} commands a second, or {MAX_BEHIND_BYTES >> 20} MB a step"
            why = f"{self._left_out} bytes in a flood of more than {most}"
            self._emit(events.CommandRejected(reason=why))
            self._told_of_flood, self._left_out = now, 0

    def _news(self) -> bytes:
        """The whole lines since the last look, as many as fit into `READ_BYTES`."""
        try:
            with self._folder.open() as folder:
                if folder.stat(self._name).st_size == self._offset:
                    return b""
                descriptor = folder.open_to_read(self._name)
            with os.fdopen(descriptor, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:
                    self._offset, self._is_in_long_line = 0, False
                if size - self._offset > MAX_BEHIND_BYTES:
                    self._skip()
                    return b""
                file.seek(self._offset)
                data = file.read(READ_BYTES)
        except OSError:
            return b""
        except UnsafeFileError as error:
            # The run goes on without commands, and says so once.
            if not self._has_refused:
                self._emit(events.CommandRejected(reason=error.what))
            self._has_refused = True
            return b""
        if self._is_in_long_line:
            # The rest of a line that was refused already; it is no line of its own.
            rest = data.find(b"\n") + 1
            self._is_in_long_line = not rest
            self._offset += rest or len(data)
            data = data[rest:] if rest else b""
        end = data.rfind(b"\n") + 1
        if not end and len(data) > commands.MAX_LINE_BYTES:
            end, self._is_in_long_line = len(data), True
        self._offset += end
        return data[:end]

    def _is_flooded(self) -> bool:
        now = time.monotonic()
        self._window = [t for t in self._window if now - t < 1.0]
        return len(self._window) >= MAX_PER_SECOND
