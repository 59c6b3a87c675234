"""Mends an event log: a torn end after a kill, and a log that was taken from under its engine.

These functions know lines and their numbers only. A line that is no event stays where it is.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from darts_engine.run.errors import UnsafeFileError
from darts_engine.run.private_files import PrivateFolder

MAX_LINE_BYTES = 1 << 20
READ_BYTES = 1 << 20
# A log of which as much holds no event is none. It may be a sparse file of any size.
MAX_SEARCHED_BYTES = 64 << 20


def repair(folder: PrivateFolder, name: str, torn: str) -> tuple[int, int]:
    """Move a torn last line aside. Returns: the last sequence number, and bytes moved.

    Args:
        folder: the run folder.
        name: of the log; nothing happens if there is none.
        torn: name of the file that takes the line.

    Raises:
        UnsafeFileError: a file is no plain file of this user, or the log's end holds no event.
        OSError: the log cannot be written.
    """
    path = folder.path / name
    try:
        descriptor = folder.open_to_repair(name)
    except FileNotFoundError:
        return 0, 0
    with os.fdopen(descriptor, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = end_of_last_line(file.fileno(), size, MAX_SEARCHED_BYTES)
        if end is None:
            raise _no_event(path)
        if end < size:
            file.seek(end)
            tail = file.read(size - end)
            with contextlib.suppress(OSError), _aside(folder, torn) as aside:
                aside.write(tail + b"\n")
            file.truncate(end)
            os.fsync(file.fileno())
        return _last_seq(file.fileno(), end, path), size - end


def _aside(folder: PrivateFolder, torn: str) -> IO[bytes]:
    return os.fdopen(folder.open_to_append(torn), "ab")


def end_of_last_line(descriptor: int, size: int, limit: int) -> int | None:
    """Bytes up to the end of the last whole line in the first `size` of a file; 0 if it has none.

    Returns:
        None if the last `limit` bytes have no end of a line; it may be before them.
    """
    position = size
    while position > 0:
        if size - position >= limit:
            return None
        start = max(0, position - READ_BYTES)
        newline = os.pread(descriptor, position - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


def _last_seq(descriptor: int, end: int, path: Path) -> int:
    """The largest `seq` in the last stretch of the log that holds a readable line."""
    position, tail = end, b""
    while position > 0:
        if end - position >= MAX_SEARCHED_BYTES:
            raise _no_event(path)
        start = max(0, position - READ_BYTES)
        tail = os.pread(descriptor, position - start, start) + tail
        lines = tail.split(b"\n")
        seqs = [seq for line in lines[(1 if start else 0) :] if (seq := seq_of(line))]
        if seqs:
            return max(seqs)
        # The rest of a line that is longer than any event is never one.
        position, tail = start, lines[0][: MAX_LINE_BYTES + 1]
    return 0


def _no_event(path: Path) -> UnsafeFileError:
    return UnsafeFileError(
        f"the last {MAX_SEARCHED_BYTES >> 20} MB of the event log hold no event",
        where=str(path),
        remedy="cut them off or move the log away; the run goes on from its checkpoint",
    )


# Torn bytes may be no text, and random bytes may nest too deep.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Head(msgspec.Struct):
    """The fields by which a line is recognised."""

    seq: int
    type: str
    v: int
    t: float = 0.0
    run: str = ""


_head_decoder = msgspec.json.Decoder(Head)


def head_of(line: bytes) -> Head | None:
    """The head of a line; None if it is no event."""
    try:
        return _head_decoder.decode(line)
    except UNREADABLE:
        return None


def seq_of(line: bytes) -> int:
    """The number of the event on a line; 0 if it is none."""
    head = head_of(line)
    return head.seq if head else 0


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of it, in as many calls as that takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def copy_lines(source: int, size: int, target: int, after: int = 0) -> int:
    """Append the lines of a log from the first event after number `after` on.

    Args:
        source: descriptor of the log to read.
        size: how many bytes of it to read.
        target: descriptor of the log to write.
        after: number of an event.

    Returns:
        How many lines were written.
    """
    count = 0
    for portion in _portions(source, size):
        start = 0
        if not count:
            news = (n for n, line in enumerate(portion) if seq_of(line) > after)
            start = next(news, len(portion))
        _write_lines(target, portion[start:])
        count += len(portion) - start
    return count


def without_present(
    source: int, size: int, lines: list[tuple[int, bytes]]
) -> list[tuple[int, bytes]]:
    """Those of numbered lines whose number is not in the first `size` bytes of a log."""
    missing = dict(lines)
    for portion in _portions(source, size):
        for line in portion:
            missing.pop(seq_of(line), None)
    return sorted(missing.items())


def merge_lines(source: int, size: int, target: int, lines: list[tuple[int, bytes]]) -> None:
    """Write the first `size` bytes of a log, and between them lines that it lacks, by number."""
    left = list(reversed(lines))
    for portion in _portions(source, size):
        merged: list[bytes] = []
        for line in portion:
            seq = seq_of(line)
            while left and left[-1][0] < seq:
                merged.append(left.pop()[1].rstrip(b"\n"))
            merged.append(line)
        _write_lines(target, merged)
    write_whole(target, b"".join(line for _, line in reversed(left)))


def _portions(source: int, size: int) -> Iterator[list[bytes]]:
    """The whole lines of a log, many at a time."""
    position, rest = 0, b""
    while position < size:
        data = os.pread(source, min(READ_BYTES, size - position), position)
        if not data:
            return
        position += len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield lines


def _write_lines(target: int, lines: list[bytes]) -> None:
    write_whole(target, b"".join(line + b"\n" for line in lines))
