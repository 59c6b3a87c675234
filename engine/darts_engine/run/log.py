"""The event log: `EventLog` appends, `LogReader` follows.

The writer makes one `write` call per event, so a kill leaves at most one torn line, at the end; the
next engine moves it aside. The reader takes only whole lines: an incomplete last line is read
later, a damaged line is counted and skipped, an event of a newer version is counted and ignored.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from darts_engine.run import events
from darts_engine.run.events import AnyEvent, Event
from darts_engine.run.private_files import open_to_append

MAX_LINE_BYTES = 1 << 20
READ_BYTES = 1 << 20


class EventLog:
    """Appends events. One process writes, one thread at a time.

    A full disk never stops the run: events that cannot be written are counted, and the number is
    written later as `EventsDropped`.

    Args:
        path: the log; made if it is missing, its torn last line moved aside.
        torn: takes that line.
        clock: gives Unix seconds.

    Attributes:
        last_seq: number of the last event.
        repaired_bytes: length of the torn line.
        dropped: events that could not be written since the last one that could.
    """

    def __init__(self, path: Path, torn: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self.last_seq, self.repaired_bytes = _repair(path, torn)
        self.dropped = 0
        self._descriptor = open_to_append(path)
        self._size = os.fstat(self._descriptor).st_size

    def append(self, event: Event) -> bool:
        """Number, stamp and write an event. Returns: False if it was dropped (OSError)."""
        if self.dropped:
            notice = events.EventsDropped(count=self.dropped)
            if not self._write(notice):
                self.dropped += 1
                return False
            self.dropped = 0
        if self._write(event):
            return True
        self.dropped += 1
        return False

    def _write(self, event: Event) -> bool:
        seq = self.last_seq + 1
        line = events.encode(msgspec.structs.replace(event, seq=seq, t=self._clock()))
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            # Half a line would join the next one: cut it off again.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            return False
        self._size += len(line)
        self.last_seq = seq
        return True

    def sync(self) -> None:
        """Make what was written durable (fsync)."""
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)

    def size_bytes(self) -> int:
        """Length of the log in bytes."""
        return self._size

    def close(self) -> None:
        """Make the log durable and close it."""
        self.sync()
        os.close(self._descriptor)


def _repair(path: Path, torn: Path) -> tuple[int, int]:
    """Move a torn last line aside. Returns: the last sequence number, and bytes moved."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0, 0
    with os.fdopen(descriptor, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _end_of_last_line(file.fileno(), size)
        if end < size:
            file.seek(end)
            tail = file.read()
            with contextlib.suppress(OSError), open(torn, "ab", opener=_private) as aside:
                aside.write(tail + b"\n")
            file.truncate(end)
            os.fsync(file.fileno())
        return _last_seq(file.fileno(), end), size - end


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _end_of_last_line(descriptor: int, size: int) -> int:
    position = size
    while position > 0:
        start = max(0, position - READ_BYTES)
        newline = os.pread(descriptor, position - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


def _last_seq(descriptor: int, end: int) -> int:
    """The largest `seq` in the last stretch of the log that holds a readable line."""
    position, tail = end, b""
    while position > 0:
        start = max(0, position - READ_BYTES)
        tail = os.pread(descriptor, position - start, start) + tail
        lines = tail.split(b"\n")
        seqs = [seq for line in lines[(1 if start else 0) :] if (seq := _seq(line))]
        if seqs:
            return max(seqs)
        position, tail = start, lines[0]
    return 0


# Torn bytes may be no text, and random bytes may nest too deep.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Head(msgspec.Struct):
    seq: int
    type: str
    v: int


_head_decoder = msgspec.json.Decoder(_Head)


def _head(line: bytes) -> _Head | None:
    try:
        return _head_decoder.decode(line)
    except _UNREADABLE:
        return None


def _seq(line: bytes) -> int:
    head = _head(line)
    return head.seq if head else 0


class LogReader:
    """Follows a log: call `read` again and again, at any pace.

    Attributes:
        offset: bytes consumed, always at the start of a line.
        damaged: number of lines that were no events.
        unknown: number of events of a type or version that this program does not know.
    """

    def __init__(self, path: Path, *, offset: int = 0) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self.offset = offset
        self.damaged = 0
        self.unknown = 0
        self._skipping = False

    def read(self, max_bytes: int = 16 * READ_BYTES) -> list[AnyEvent]:
        """The events that are new since the last call; at most about `max_bytes` of them.

        Starts over when the file was replaced or has shrunk below what was read.
        """
        lines = self.read_lines(max_bytes)
        return [event for line in lines if (event := self.decode(line)) is not None]

    def read_lines(self, max_bytes: int = 16 * READ_BYTES) -> list[bytes]:
        """As `read`, but returns the lines as they are on the disk, without their newlines."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            status = os.fstat(descriptor)
            identity = (status.st_dev, status.st_ino)
            if status.st_size < self.offset or self._identity not in (None, identity):
                self.offset, self._skipping = 0, False
            self._identity = identity
            data = os.pread(descriptor, max_bytes, self.offset)
            if len(data) == max_bytes <= MAX_LINE_BYTES and b"\n" not in data:
                # The next line is longer than `max_bytes`: read it alone, or nothing is ever read.
                data = os.pread(descriptor, MAX_LINE_BYTES + 1, self.offset)
                data = data[: data.find(b"\n") + 1] or data
            return self._lines(data)
        except OSError:
            return []
        finally:
            os.close(descriptor)

    def is_behind(self, *, by: int = 0) -> bool:
        """Whether the file holds more than was read, by more than so many bytes."""
        return self._size() > self.offset + by

    def share(self) -> float:
        """Share of the file that was read, from 0 to 1."""
        return min(1.0, self.offset / max(1, self._size()))

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _lines(self, data: bytes) -> list[bytes]:
        end = data.rfind(b"\n") + 1
        if not end:
            if len(data) > MAX_LINE_BYTES:
                # No event is this long: skip to the next newline.
                self.offset += len(data)
                self.damaged += not self._skipping
                self._skipping = True
            return []
        self.offset += end
        found = []
        for line in data[:end].split(b"\n")[:-1]:
            if self._skipping:
                self._skipping = False
                continue
            found.append(line)
        return found

    def is_event(self, line: bytes) -> bool:
        """Whether a line is whole and of an event, by its form; what is in it is not looked at."""
        head = _head(line) if len(line) <= MAX_LINE_BYTES else None
        return head is not None and head.v == events.VERSION and head.type in events.TYPES

    def decode(self, line: bytes) -> AnyEvent | None:
        """The event on a line; None if it is damaged or unknown, which is counted."""
        if len(line) <= MAX_LINE_BYTES:
            try:
                event = events.decode(line)
                if event.v == events.VERSION:
                    return event
            except _UNREADABLE:
                pass
        head = _head(line)
        if head and (head.v != events.VERSION or head.type not in events.TYPES):
            self.unknown += 1
        elif line:
            self.damaged += 1
        return None
