"""A file of text in UTF-8, read piece by piece. The user named it; its content is not trusted."""

import codecs
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from darts_engine.run.errors import DataError

PIECE = 1 << 20
MAX_BYTES = 128 << 20
_OTHER = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ": "an xz archive",
}


def pieces(path: Path) -> Iterator[str]:
    """The text of a file in pieces, with line feeds as ends of lines and no byte order mark.

    Raises:
        DataError: it is no plain file, larger than 128 MiB, or not text in UTF-8.
        OSError: it cannot be opened or read.
    """
    with _opened(path) as file:
        yield from _decoded(file, path)


def _opened(path: Path) -> io.BufferedReader:
    # Without O_NONBLOCK the opening of a pipe that nobody writes to waits for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise _too_large(path)
    what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a socket or a device"
    raise DataError(
        f"the text is {what}, not a file", where=str(path), remedy="name a plain file of text"
    )


def _decoded(file: io.BufferedReader, path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    ends = io.IncrementalNewlineDecoder(decoder, translate=True)
    lines, size, last = 1, 0, False
    while not last:
        data = file.read(PIECE)
        last = not data
        if not size:
            _refuse_other_kinds(data, path)
        size += len(data)
        if size > MAX_BYTES:
            raise _too_large(path)
        try:
            piece = ends.decode(data, final=last)
        except UnicodeDecodeError as error:
            line = lines + error.object[: error.start].count(b"\n")
            raise DataError(
                f"line {line:,} is not UTF-8: byte 0x{error.object[error.start]:02x}",
                where=str(path),
                remedy="bring all of the file to UTF-8, as with iconv -f LATIN1 -t UTF-8",
            ) from None
        if (at := piece.find("\0")) >= 0:
            line = lines + piece[:at].count("\n")
            raise DataError(
                f"line {line:,} has a NUL: this is no text",
                where=str(path),
                remedy="name a file of text in UTF-8",
            )
        lines += piece.count("\n")
        yield piece


def _refuse_other_kinds(first: bytes, path: Path) -> None:
    for start, what in _OTHER.items():
        if first.startswith(start):
            raise DataError(
                f"the file is {what}, not text in UTF-8",
                where=str(path),
                remedy="convert or unpack it first",
            )


def _too_large(path: Path) -> DataError:
    return DataError(
        f"the text is larger than {MAX_BYTES >> 20} MiB",
        where=str(path),
        remedy="take a part of it, as with head -n 1000000",
    )
