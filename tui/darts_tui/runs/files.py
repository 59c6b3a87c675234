"""Files that people bring, read to a limit, and what they are when they are no text."""

import sys
from pathlib import Path

from darts_engine.run.errors import GenotypeError, NotFoundError, RunError

STDIN = "-"
# A log of a long search, with every alpha printed.
MAX_BYTES = 32_000_000
# What a reader may want, and where it is found instead.
GENOTYPE, ALPHAS, LOG = "a genotype", "alphas", "a log"
REMEDIES = {
    GENOTYPE: "a checkpoint's genotype is in its run's log: give that, or run:NAME; 'evaluate' and "
    "'train' take trained weights with --weights FILE",
    ALPHAS: "save them as numpy.savez('alphas.npz', alphas_normal=..., alphas_reduce=...), or give "
    "the log that they are printed in",
    LOG: "the log is the text that the search printed or wrote beside its checkpoints",
}
# Formats of weights and arrays, by how they begin.
_BINARY = (
    (b"\x80", "a checkpoint (pickled Python objects)"),
    (b"\x89HDF\r\n", "a checkpoint (HDF5)"),
    (b"\x93NUMPY", "an array of numpy"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"\x89PNG", "a picture"),
)


def is_file(path: Path) -> bool:
    """Whether there is a plain file of this path."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a file, or of standard input for `-`.

    Raises:
        NotFoundError: it cannot be read.
        RunError: it is longer than the limit.
    """
    try:
        if str(path) == STDIN:
            if sys.stdin is None:
                raise NotFoundError("standard input is closed")
            content = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb") as file:
                content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise NotFoundError(f"the file cannot be read: {what}", where=str(path)) from None
    if len(content) > limit:
        raise RunError(f"the file is larger than {limit} bytes", where=str(path))
    return content


def as_text(content: bytes, where: str, wanted: str = GENOTYPE) -> str:
    """The text of a file: UTF-8, or UTF-16 with a byte order mark.

    Characters that are damaged or of another encoding stay marks; a genotype is plain ASCII.

    Raises:
        GenotypeError: the file is no text; the message says what it is.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError:
            raise GenotypeError("the file is not UTF-16 text", where=where) from None
    what = binary_kind(content)
    if what:
        remedy = REMEDIES.get(wanted, "")
        if wanted == GENOTYPE and "arrays" in what:
            remedy = "'darts-tui derive' makes a genotype of alphas"
        raise GenotypeError(f"the file is {what}, not {wanted}", where=where, remedy=remedy)
    return content.decode("utf-8-sig", "replace")


def binary_kind(content: bytes) -> str:
    """What a file is that is no text, by its first bytes; empty for a text."""
    if content.startswith(b"PK\x03\x04"):
        # A checkpoint of torch is an archive with a pickle in it, arrays of numpy one of .npy.
        is_torch = b"data.pkl" in content[:400] or b".npy" not in content[:400]
        return "a checkpoint (saved by torch)" if is_torch else "an archive of arrays (npz)"
    for start, kind in _BINARY:
        if content.startswith(start):
            return kind
    length = int.from_bytes(content[:8], "little")
    if content[8:9] == b"{" and 2 <= length <= 100_000_000:
        return "a checkpoint (safetensors)"
    return "binary" if b"\0" in content[:100_000] else ""
