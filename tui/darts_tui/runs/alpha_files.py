"""Reads alphas from files: JSON, arrays of numpy, and printed matrices in a log.

No array of objects is read, and no pickle: an array's header is parsed as a literal, and its
numbers are taken from the bytes.
"""

import io
import json
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from darts_engine.run.architecture.derivation import node_count
from darts_engine.run.architecture.forms.literal import value_of
from darts_engine.run.architecture.genotype import CELLS, RECURRENT
from darts_engine.run.errors import GenotypeError
from darts_tui.runs import printed
from darts_tui.runs.files import ALPHAS, as_text, read_bytes

Tables = dict[str, Any]

MAX_BYTES = 10_000_000
MAX_LOG_BYTES = 32_000_000
# Names of matrices, and those that other code gives them.
KEYS = {
    **{name: cell for cell in CELLS for name in (cell, f"alphas_{cell}", f"alpha_{cell}")},
    **{f"{name}_{cell}": f"betas_{cell}" for cell in CELLS for name in ("betas", "beta")},
    **{name: name for name in ("cell", "operations", "parents", RECURRENT)},
}
# Sets of matrices that belong together.
_TOGETHER = (
    {*CELLS, *(f"betas_{cell}" for cell in CELLS)},
    {"cell"},
    {"operations", "parents"},
    {RECURRENT},
)
_REMEDY = (
    'expected {"normal": 14 rows of 8 numbers, "reduce": the same}, an npz of such arrays, '
    "or a log with printed matrices"
)
_TYPES = {"f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}


class Brought(NamedTuple):
    """Matrices by name; whether they are mixing weights already; a note on where they stood."""

    tables: Tables
    is_mixed: bool = False
    note: str = ""


def read_alphas(path: Path) -> Brought:
    """The matrices in a file, or in standard input for `-`.

    Raises:
        NotFoundError: the file cannot be read.
        GenotypeError: it holds no alphas, or some with unknown names.
    """
    content, where = read_bytes(path, MAX_LOG_BYTES), str(path)
    if content.startswith(b"PK\x03\x04") and b".npy" in content[:400]:
        return Brought(_named(_arrays(content, where), where))
    text = as_text(content, where, ALPHAS)
    if not text.lstrip().startswith("{"):
        found = printed.groups(text)
        if not found:
            raise GenotypeError(
                "the text is no object of JSON, and has no printed alphas",
                where=where,
                remedy=_REMEDY,
            )
        last = found[-1]
        kind = "mixing weights" if last.is_mixed else "raw alphas"
        which = f"the last of {len(found)}, " if len(found) > 1 else ""
        line = text.count("\n", 0, last.start) + 1
        return Brought(last.tables, last.is_mixed, f"line {line}: {which}read as {kind}")
    if len(content) > MAX_BYTES:
        raise GenotypeError(f"the alphas are larger than {MAX_BYTES} bytes", where=where)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GenotypeError(
            f"the alphas are not valid JSON: {error}", where=where, remedy=_REMEDY
        ) from None
    if isinstance(value, dict) and isinstance(value.get("alphas"), dict) and len(value) == 1:
        value = value["alphas"]
    return Brought(_named(value, where))


def _named(value: Any, where: str) -> Tables:
    """The matrices by our names for them.

    Raises:
        GenotypeError: a name is unknown, or the names do not belong together.
    """
    if not isinstance(value, dict):
        raise GenotypeError("the alphas are no object", where=where, remedy=_REMEDY)
    tables: Tables = {}
    for key, rows in value.items():
        # pt.darts saves a matrix for each node: alpha_normal.0 to alpha_normal.3.
        name, _, place = key.partition(".")
        ours = KEYS.get(name)
        if ours is None or (place and place != str(len(tables.get(ours, [])))):
            raise GenotypeError(
                f"the alphas have an unknown key {key[:40]!r}",
                where=where,
                remedy=f"known are {', '.join(KEYS)}",
            )
        if place:
            tables.setdefault(ours, []).append(rows)
        elif ours in tables:
            raise GenotypeError(f"the alphas have {ours} twice", where=where)
        else:
            tables[ours] = rows
    if not any(tables.keys() <= together for together in _TOGETHER):
        raise GenotypeError(
            f"the keys {', '.join(tables)} do not belong together", where=where, remedy=_REMEDY
        )
    return tables


def flat(rows: Any) -> Any:
    """Rows of all edges, also where they are given as a list for each node."""
    if (
        isinstance(rows, list)
        and rows
        and all(isinstance(node, list) and node for node in rows)
        and all(isinstance(row, list) for node in rows for row in node)
    ):
        for place, node in enumerate(rows, 2):
            if len(node) != place:
                raise GenotypeError(f"node {place} has {len(node)} edges, not {place}")
        rows = [row for node in rows for row in node]
        node_count(len(rows))
    return rows


def _arrays(content: bytes, where: str) -> Tables:
    """The arrays of an npz as nested lists.

    Raises:
        GenotypeError: the archive is damaged, too large, or has an array of something else.
    """
    arrays: Tables = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BYTES or len(entries) > 100:
                raise GenotypeError(f"the arrays are larger than {MAX_BYTES} bytes", where=where)
            for entry in entries:
                with archive.open(entry) as file:
                    array = file.read(MAX_BYTES)
                name = entry.filename.removesuffix(".npy")
                arrays[name] = _array(array, f"{where}, {name[:40]}")
    except GenotypeError:
        raise
    # What zipfile raises of a damaged or encrypted archive.
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError),
        *(NotImplementedError, ValueError, LookupError),
    ):
        raise GenotypeError("the archive of arrays is damaged", where=where) from None
    return arrays


def _array(content: bytes, where: str) -> Any:
    if content[:6] != b"\x93NUMPY" or len(content) < 12:
        raise GenotypeError("the archive holds something that is no array", where=where)
    # The first version has a length of two bytes.
    size, start = (2, 10) if content[6] == 1 else (4, 12)
    end = start + int.from_bytes(content[8 : 8 + size], "little")
    header = value_of(content[start:end][:2000].decode("latin-1").strip())
    header = header if isinstance(header, dict) else {}
    match = re.fullmatch(r"([<>|=]?)([fi][1248])", str(header.get("descr")))
    shape = header.get("shape")
    if (
        not match
        or match[2] not in _TYPES
        or header.get("fortran_order") is not False
        or not isinstance(shape, list)
        or not all(type(n) is int and 0 < n <= 100_000 for n in shape)
        or len(shape) not in (1, 2)
    ):
        raise GenotypeError(
            "an array of alphas is of plain numbers, with one or two dimensions",
            where=f"{where}, {str(header)[:80]}",
            remedy="save it as numpy.ascontiguousarray(alpha, dtype='float64')",
        )
    count = shape[0] * (shape[1] if len(shape) == 2 else 1)
    kind = f"{'>' if match[1] == '>' else '<'}{count}{_TYPES[match[2]]}"
    if len(content) - end != struct.calcsize(kind):
        raise GenotypeError("an array is shorter or longer than its shape", where=where)
    numbers = list(struct.unpack(kind, content[end:]))
    if len(shape) == 1:
        return numbers
    return [numbers[at : at + shape[1]] for at in range(0, count, shape[1])]
