"""Reads the lines of an event log from its end, for what is near the end of a huge one."""

import os
from collections.abc import Iterator
from pathlib import Path

from darts_engine.run import log_repair
from darts_engine.run.log_repair import MAX_LINE_BYTES, READ_BYTES
from darts_engine.run.private_files import open_to_read

# A stretch this long without the end of a line is a hole or noise; what is before it is not read.
MAX_NOISE_BYTES = 16 * MAX_LINE_BYTES


def blocks_from_the_end(path: Path, block_bytes: int = READ_BYTES) -> Iterator[bytes]:
    """Stretches of whole lines, the last first; each ends in a newline. Empty if there is no log.

    A torn last line and lines longer than `MAX_LINE_BYTES`, which are no events, are left out.
    What is appended meanwhile is not seen.

    Raises:
        UnsafeFileError: the log is no plain file of this user.
    """
    try:
        descriptor = open_to_read(path)
    except OSError:
        return
    try:
        position = end = os.fstat(descriptor).st_size
        # The end of a line whose beginning is not read yet; at first, that of the torn line.
        rest, is_left_out = b"", True
        while position > 0:
            start = max(0, position - block_bytes)
            data = os.pread(descriptor, position - start, start)
            position = start
            # The first line of a block may begin in the one before.
            first = data.find(b"\n") + 1 if start else 0
            if start and not first:
                is_left_out = is_left_out or len(data) + len(rest) > MAX_LINE_BYTES
                rest = b"" if is_left_out else data + rest
                if end - start > MAX_NOISE_BYTES:
                    return
                continue
            whole = data[first : data.rfind(b"\n") + 1] if is_left_out else data[first:] + rest
            rest, is_left_out, end = data[:first], False, start + first
            if whole:
                yield whole
    except OSError:
        return
    finally:
        os.close(descriptor)


def end_of_last_line(path: Path) -> int:
    """Bytes up to the end of the last whole line; an engine that takes the run up writes there.

    Raises:
        UnsafeFileError: the log is no plain file of this user.
    """
    try:
        descriptor = open_to_read(path)
    except OSError:
        return 0
    try:
        size = os.fstat(descriptor).st_size
        end = log_repair.end_of_last_line(descriptor, size, MAX_NOISE_BYTES)
        return size if end is None else end
    except OSError:
        return 0
    finally:
        os.close(descriptor)
