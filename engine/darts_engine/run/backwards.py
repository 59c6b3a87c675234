"""Reads the lines of an event log from its end, for what is near the end of a huge one."""

import os
from collections.abc import Iterator
from pathlib import Path

from darts_engine.run.log import MAX_LINE_BYTES
from darts_engine.run.private_files import open_to_read


def blocks_from_the_end(path: Path, block_bytes: int) -> Iterator[bytes]:
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
        position = os.fstat(descriptor).st_size
        # The end of a line whose beginning is not read yet; at first, that of the torn line.
        rest, is_torn, is_too_long = b"", True, False
        while position > 0:
            start = max(0, position - block_bytes)
            data = os.pread(descriptor, position - start, start)
            position = start
            first = data.find(b"\n") + 1 if start else 0
            if start and not first:
                # No line begins here.
                is_too_long = is_too_long or len(data) + len(rest) > MAX_LINE_BYTES
                rest = b"" if is_too_long or is_torn else data + rest
                continue
            if is_torn or is_too_long:
                whole = data[first : data.rfind(b"\n") + 1]
            else:
                whole = data[first:] + rest
            is_torn = is_too_long = False
            rest = data[:first]
            if whole:
                yield whole
    except OSError:
        return
    finally:
        os.close(descriptor)
