"""The event log: `EventLog` appends, `LogReader` follows.

The writer makes one `write` call per event, so a kill leaves at most one torn line, at the end; the
next engine moves it aside. The reader takes only whole lines: an incomplete last line is read
later, a damaged line is counted and skipped, an event of a newer version is counted and ignored.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from darts_engine.run import events, log_repair
from darts_engine.run.errors import UnsafeFileError
from darts_engine.run.essentials import Essentials
from darts_engine.run.events import AnyEvent, Event
from darts_engine.run.log_repair import READ_BYTES, UNREADABLE, head_of
from darts_engine.run.private_files import PrivateFolder, open_to_read, temporary_name

MAX_LINE_BYTES = log_repair.MAX_LINE_BYTES
# How the engine writes the first event of each of its logs.
STARTED = b'{"type":"run_started"'
# So many lines before a place are looked at, to know what was read before it.
RECENT_LINES, RECENT_BYTES = 8, 1 << 16

# It also counts the time in which the machine slept, where there is such a clock.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> Callable[[], float]:
    """Unix seconds as the machine has them now, and from here on the time that has passed since.

    So the times of two readings differ by what was between them, and never go back.
    """
    began, passed = time.time(), time.clock_gettime(_ELAPSED)
    return lambda: began + time.clock_gettime(_ELAPSED) - passed


class EventLog:
    """Appends events. One process writes, one thread at a time.

    A full disk never stops the run: events that cannot be written are counted, and the number is
    written later as `EventsDropped`.

    Args:
        path: the log; made if it is missing, its torn last line moved aside.
        torn: takes that line.
        clock: gives Unix seconds; unless given, they go on evenly while the machine's clock is set.
        within: the log's folder, if it is held open; else it is opened here.

    Raises:
        UnsafeFileError: a file is no plain file of this user, or the log's end holds no event.
        OSError: the log cannot be written.

    Attributes:
        last_seq: number of the last event.
        repaired_bytes: length of the torn line.
        dropped: events that could not be written since the last one that could.
        is_adrift: whether readers do not see what is written, because the file was taken away and
            a new one cannot be made.
    """

    def __init__(
        self,
        path: Path,
        torn: Path,
        *,
        clock: Callable[[], float] | None = None,
        within: PrivateFolder | None = None,
    ) -> None:
        self._name, self._torn, self._clock = path.name, torn.name, clock or steady()
        self._folder = within.again() if within else PrivateFolder.open(path.parent)
        self._essentials = Essentials()
        self.dropped, self.is_adrift = 0, False
        self._has_size: bool | None = None
        self.last_seq, self.repaired_bytes = log_repair.repair(self._folder, self._name, self._torn)
        self._take(self._folder.open_to_append(self._name, readable=True))

    def _take(self, descriptor: int) -> None:
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self._size = status.st_size
        # Some network disks number files anew at every look, find new ones late, or give sizes of
        # some time ago: what does not agree from the start is no sign of another program later.
        self._is_found = self._has_number = False
        with contextlib.suppress(OSError):
            self._has_number = self._is_mine(self._folder.stat(self._name))
            self._is_found = True

    def _is_mine(self, status: os.stat_result) -> bool:
        mine = os.fstat(self._descriptor)
        return (status.st_dev, status.st_ino) == (mine.st_dev, mine.st_ino)

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
                if os.fstat(self._descriptor).st_size > self._size:
                    os.ftruncate(self._descriptor, self._size)
            return False
        self._size += len(line)
        self.last_seq = seq
        self._essentials.take(event, seq, line)
        if self._has_size is None:
            self._has_size = os.fstat(self._descriptor).st_size == self._size
        return True

    def mend(self) -> str:
        """Go on in the log that readers see, if this one was removed, replaced, or cut short.

        What the new file lacks is written into it: all of it if the old file still holds it, else
        what tells a reader where the run is.

        Returns:
            What happened, for people; empty as long as all is well.
        """
        try:
            status = self._folder.stat(self._name)
            mine = os.fstat(self._descriptor)
        except FileNotFoundError:
            return self._tried(self._go_on, "was removed") if self._is_found else ""
        except OSError:
            # A disk that does not answer now may do so at the next boundary.
            return ""
        if self._has_number and _identity(status) != _identity(mine):
            return self._tried(self._go_on, "was replaced")
        if self._has_size and mine.st_size != self._size:
            return self._tried(self._restore, "was cut or rewritten")
        return ""

    def _tried(self, mend: Callable[[], str], what: str) -> str:
        """Mend the log, or say once that this cannot be done; then it is tried again and again."""
        try:
            done = mend()
        except (OSError, UnsafeFileError) as error:
            was_adrift, self.is_adrift = self.is_adrift, True
            reason = str(error).splitlines()[0]
            return "" if was_adrift else f"the event log {what}, and cannot be mended: {reason}"
        self.is_adrift = False
        return f"the event log {what} by another program: {done}"

    def _go_on(self) -> str:
        """Leave a file that readers no longer see for the one that has its name now."""
        found, _ = log_repair.repair(self._folder, self._name, self._torn)
        old, size = self._descriptor, self._size
        new = self._folder.open_to_append(self._name, readable=True)
        start = os.fstat(new).st_size
        try:
            count = log_repair.copy_lines(old, size, new, found)
            done = f"{count} events that were missing were written again"
        except OSError:
            # Perhaps the disk is too full for all of them.
            with contextlib.suppress(OSError):
                os.ftruncate(new, start)
                lines = [line for seq, line in self._essentials.lines() if seq > found]
                log_repair.write_whole(new, b"".join(lines))
            done = f"most events from {found + 1} to {self.last_seq} are lost"
        os.close(old)
        self._take(new)
        self.last_seq = max(self.last_seq, found)
        return done

    def _restore(self) -> str:
        """Write a file anew that has lost lines, with what is left and the essential events.

        It gets a new inode, so that every reader begins anew too.
        """
        found, _ = log_repair.repair(self._folder, self._name, self._torn)
        size = os.fstat(self._descriptor).st_size
        lost = log_repair.without_present(self._descriptor, size, self._essentials.lines())
        if not lost:
            self._size, self.last_seq = size, max(self.last_seq, found)
            return "no event that matters is missing"
        name = temporary_name(self._name)
        new = self._folder.open_to_append(name, readable=True)
        try:
            log_repair.merge_lines(self._descriptor, size, new, lost)
            self._folder.rename(name, self._name)
        except BaseException:
            os.close(new)
            self._folder.delete(name)
            raise
        os.close(self._descriptor)
        self._take(new)
        return "events are lost; those that show where the run is were written again"

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
        self._folder.close()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _after_hole(descriptor: int, offset: int, size: int) -> int:
    """Where a file has data again, from `offset` on; a sparse one may lack it for terabytes."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        # There is none before the end. Other errors: the file system does not know.
        return size if error.errno == errno.ENXIO and size > offset else offset


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
        # The last lines tell what was read, if another file takes the log's place.
        self._recent: list[bytes] = []
        self._known, self._known_t = 0, 0.0

    def read(self, max_bytes: int = 16 * READ_BYTES) -> list[AnyEvent]:
        """The events that are new since the last call; at most about `max_bytes` of them.

        When the file was replaced or has shrunk below what was read, it is read from its start, and
        what was read before is left out.

        Raises:
            UnsafeFileError: the log is no plain file of this user.
        """
        lines = self.read_lines(max_bytes)
        return [event for line in lines if (event := self.decode(line)) is not None]

    def read_lines(self, max_bytes: int = 16 * READ_BYTES) -> list[bytes]:
        """As `read`, but returns the lines as they are on the disk, without their newlines."""
        while True:
            before = self.offset
            found = self._news(self._read_lines(max_bytes))
            # A log that is read over again holds nothing new for a long stretch.
            if found or not self._known or self.offset == before:
                return found

    def _start_over(self) -> None:
        """Read the file that took the log's place from its start, but for what was read before."""
        self.offset, self._skipping = 0, False
        last = next((head for line in reversed(self._recent) if (head := head_of(line))), None)
        if last is not None and last.seq > self._known:
            self._known, self._known_t = last.seq, last.t

    def _news(self, lines: list[bytes]) -> list[bytes]:
        if self._known:
            start = next((n for n, line in enumerate(lines) if self._is_news(line)), None)
            if start is None:
                return []
            self._known, lines = 0, lines[start:]
        self._recent = lines[-RECENT_LINES:] or self._recent
        return lines

    def _is_news(self, line: bytes) -> bool:
        """Whether a line was not read before, from the file that had this name then.

        Events of another run of this name, or after a checkpoint, may have smaller numbers again.
        """
        head = head_of(line)
        return head is not None and (head.seq > self._known or head.t > self._known_t)

    def _read_lines(self, max_bytes: int) -> list[bytes]:
        try:
            descriptor = open_to_read(self._path)
        except OSError:
            return []
        try:
            status = os.fstat(descriptor)
            identity = _identity(status)
            if status.st_size < self.offset or self._identity not in (None, identity):
                self._start_over()
            self._identity = identity
            if self.offset and not self._recent:
                before = max(0, self.offset - RECENT_BYTES)
                lines = os.pread(descriptor, self.offset - before, before).split(b"\n")
                self._recent = lines[-RECENT_LINES - 1 : -1]
            data = os.pread(descriptor, max_bytes, self.offset)
            if len(data) == max_bytes <= MAX_LINE_BYTES and b"\n" not in data:
                # The next line is longer than `max_bytes`: read it alone, or nothing is ever read.
                data = os.pread(descriptor, MAX_LINE_BYTES + 1, self.offset)
                data = data[: data.find(b"\n") + 1] or data
            found = self._lines(data)
            if self._skipping:
                self.offset = _after_hole(descriptor, self.offset, status.st_size)
            return found
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
            return self._path.lstat().st_size
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
        head = head_of(line) if len(line) <= MAX_LINE_BYTES else None
        return head is not None and head.v == events.VERSION and head.type in events.TYPES

    def decode(self, line: bytes) -> AnyEvent | None:
        """The event on a line; None if it is damaged or unknown, which is counted."""
        if len(line) <= MAX_LINE_BYTES:
            try:
                event = events.decode(line)
                if event.v == events.VERSION:
                    return event
            except UNREADABLE:
                pass
        head = head_of(line)
        if head and (head.v != events.VERSION or head.type not in events.TYPES):
            self.unknown += 1
        elif line:
            self.damaged += 1
        return None
