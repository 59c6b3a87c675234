"""The records of TensorBoard's event files, for scalars, without any package.

A file is a sequence of records: the length as uint64, its checksum, the content, its checksum, all
little-endian. A checksum is the masked CRC-32C of the bytes before it. The content is a protocol
buffer `Event` (tensorboard/compat/proto/event.proto): 1 wall_time, 2 step, 3 file_version,
5 summary, 7 session_log.
"""

import struct
from collections.abc import Mapping

# Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4).
_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8
_START = b"\x08\x01"


def _table() -> list[int]:
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return rows


_TABLE = _table()


def crc32c(content: bytes) -> int:
    """The CRC-32C of some bytes (RFC 3720)."""
    value = 0xFFFFFFFF
    for byte in content:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _masked(content: bytes) -> bytes:
    value = crc32c(content)
    return struct.pack("<I", ((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF)


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _moment(time: float, step: int) -> bytes:
    return b"\x09" + struct.pack("<d", time) + b"\x10" + _varint(step)


def beginning(time: float) -> bytes:
    """The record that every file begins with. `time` is in Unix seconds."""
    return _record(_moment(time, 0) + _bytes(3, b"brain.Event:2"))


def restart(time: float, step: int) -> bytes:
    """The record that makes readers forget all values of this step and later ones."""
    return _record(_moment(time, step) + _bytes(7, _START))


def scalars(time: float, step: int, values: Mapping[str, float]) -> bytes:
    """The record of values by tag, kept as float32.

    A number too large for it becomes infinite.
    """
    summary = b"".join(
        _bytes(1, _bytes(1, tag.encode("utf-8", "replace")) + b"\x15" + _float(value))
        for tag, value in values.items()
    )
    return _record(_moment(time, step) + _bytes(5, summary))


def _float(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", float("inf") if value > 0 else float("-inf"))
