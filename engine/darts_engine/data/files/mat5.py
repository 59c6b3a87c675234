"""Reads numeric arrays from MATLAB files of version 5, the format of SVHN.

MAT-File Format, The MathWorks, "Level 5 MAT-Files": a header of 128 bytes, then elements. Each
has a tag (type, number of bytes) and data padded to 8 bytes. Variables are matrix elements, usually
inside compressed ones. Only real, dense arrays are read; they are stored column by column.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

HEADER_BYTES = 128
MAX_BYTES = 2 << 30
MATRIX, COMPRESSED = 14, 15
TYPES: dict[int, str] = {
    1: "i1",
    2: "u1",
    3: "<i2",
    4: "<u2",
    5: "<i4",
    6: "<u4",
    7: "<f4",
    9: "<f8",
    12: "<i8",
    13: "<u8",
}
# Classes of arrays: double, single, and integers of 8 to 64 bits.
NUMERIC = range(6, 16)
COMPLEX = 0x08


class MatError(ValueError):
    """The file is damaged or holds something else than numeric arrays."""


def loads(data: bytes) -> dict[str, np.ndarray]:
    """The numeric arrays in a file, by name.

    Raises:
        MatError: it is not such a file, or it is damaged.
    """
    if len(data) < HEADER_BYTES or data[126:128] not in (b"IM", b"MI"):
        raise MatError("it is no MATLAB file of version 5")
    if data[124:128] != b"\x00\x01IM":
        raise MatError("it was written by a big-endian machine or in another version")
    try:
        return dict(_variables(memoryview(data)[HEADER_BYTES:]))
    except (struct.error, zlib.error, IndexError, UnicodeDecodeError) as error:
        raise MatError(f"it is damaged: {error}") from None


def _elements(data: memoryview, *, are_padded: bool) -> Iterator[tuple[int, memoryview]]:
    """Type and data of each element."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:
            # A small element: its size and up to 4 bytes of data are in the tag.
            kind, size, begin, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            begin = at + 8
            end = begin + (-(-size // 8) * 8 if are_padded else size)
        if begin + size > len(data):
            raise MatError("it ends in the middle of an array")
        yield kind, data[begin : begin + size]
        at = end


def _variables(data: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    for kind, body in _elements(data, are_padded=False):
        if kind == COMPRESSED:
            yield from _variables(memoryview(_inflated(body)))
        elif kind == MATRIX:
            found = _matrix(body)
            if found is not None:
                yield found


def _inflated(data: memoryview) -> bytes:
    machine = zlib.decompressobj()
    inflated = machine.decompress(data, MAX_BYTES)
    if machine.unconsumed_tail:
        raise MatError(f"an array is larger than {MAX_BYTES >> 20} MiB")
    if not machine.eof:
        raise MatError("it ends in the middle of an array")
    return inflated


def _matrix(body: memoryview) -> tuple[str, np.ndarray] | None:
    parts = list(_elements(body, are_padded=True))
    if len(parts) < 4:
        return None
    flags = struct.unpack_from("<I", parts[0][1])[0]
    if flags & 0xFF not in NUMERIC or flags >> 8 & COMPLEX:
        return None
    shape = np.frombuffer(parts[1][1], "<i4").tolist()
    kind, numbers = parts[3]
    if kind not in TYPES:
        raise MatError(f"an array is stored in the unknown type {kind}")
    try:
        values = np.frombuffer(numbers, TYPES[kind]).reshape(shape, order="F")
    except ValueError as error:
        raise MatError(f"an array does not have its size: {error}") from None
    return bytes(parts[2][1]).decode("latin-1"), values
