"""The fixed subnet of mmrazor 1.0: YAML of the chosen inputs of nodes and operations of edges.

Only this one shape is read, line by line: keys, `chosen:` and its list. A tag, an anchor or an
alias is refused, so that no YAML object is ever made.
"""

import re
from typing import Any

from darts_engine.run.architecture.derivation import DARTS_OPERATIONS, NONE
from darts_engine.run.architecture.forms.cells import from_nodes, held
from darts_engine.run.architecture.genotype import CELLS, MAX_STATES, Genotype
from darts_engine.run.errors import GenotypeError

NAME = "mmrazor"
ZERO = "zero"
CHOSEN = "chosen"
MAX_LINES = 5000
KEY = re.compile(r"(normal|reduce)_n([0-9]{1,2})(?:_p([0-9]{1,2}))?\Z")
START = re.compile(r"^(?:normal|reduce)_n[0-9]{1,2}(?:_p[0-9]{1,2})?:", re.MULTILINE)
_ENTRY = re.compile(r"( {0,20})([A-Za-z0-9_.]{1,60}):(?: +(.{0,2000}))?\Z")
_ITEM = re.compile(r"( {0,20})- +(.{1,200})\Z")
_PLAIN = re.compile(r"'([A-Za-z0-9_.]*)'|\"([A-Za-z0-9_.]*)\"|([A-Za-z0-9_.]*)\Z")


def parse(text: str) -> dict[str, Any]:
    """The entries of the file: a key's `chosen` list.

    Raises:
        GenotypeError: a line is none of this shape.
    """
    entries: dict[str, Any] = {}
    key, part, depth, is_open = "", "", 0, False
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise GenotypeError(f"the file of mmrazor has more than {MAX_LINES} lines")
    for number, line in enumerate(lines, 1):
        plain = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].rstrip()
        if not plain or plain in ("---", "..."):
            continue
        entry, item = _ENTRY.match(plain), _ITEM.match(plain)
        if re.search(r"[!&*]", plain) or not (entry or item):
            raise _refused(number, line)
        if entry and not entry[1]:
            key, part, depth, is_open = entry[2], "", 0, False
            if key in entries or entry[3]:
                raise _refused(number, line)
            entries[key] = {}
        elif entry and key and (not depth or len(entry[1]) == depth):
            part, depth = entry[2], len(entry[1])
            is_open = part == CHOSEN and entry[3] is None
            if part == CHOSEN:
                if CHOSEN in entries[key]:
                    raise _refused(number, line)
                entries[key][CHOSEN] = [] if is_open else _flow(entry[3], number)
        elif item and is_open:
            entries[key][CHOSEN].append(_scalar(item[2], number))
        elif not part or part == CHOSEN:
            raise _refused(number, line)
        # What stands below another name, such as `meta`, is passed over.
    return entries


def _refused(number: int, line: str) -> GenotypeError:
    return GenotypeError(
        "the YAML is not a fixed subnet of mmrazor",
        where=f"line {number}: {line[:60]}",
        remedy="expected normal_n2: and below it 'chosen:' with a list; tags are not read",
    )


def _scalar(written: str, number: int) -> str:
    match = _PLAIN.fullmatch(written.strip())
    if match is None:
        raise _refused(number, written)
    return match[1] or match[2] or match[3] or ""


def _flow(written: str, number: int) -> list[str]:
    """`[a, b]`, or one name."""
    if written.startswith("[") and written.endswith("]"):
        return [_scalar(part, number) for part in written[1:-1].split(",") if part.strip()]
    return [_scalar(written, number)]


def read(value: dict[str, Any]) -> Genotype:
    """The genotype of the entries.

    Raises:
        GenotypeError: an entry is missing, unknown or malformed.
    """
    chosen: dict[str, list[str]] = {}
    for key, entry in value.items():
        names = entry.get(CHOSEN) if isinstance(entry, dict) else None
        if isinstance(names, str):
            names = [names]
        if (
            not KEY.match(key)
            or not isinstance(names, list)
            or not names
            or len(names) > MAX_STATES
            or not all(isinstance(name, str) for name in names)
        ):
            raise GenotypeError(
                "mmrazor's form is of normal_n2, normal_n2_p0, ... with what each has chosen",
                where=key[:60],
            )
        chosen[key] = names
    fields: dict[str, Any] = {}
    for cell in CELLS:
        found = [match for key in chosen if (match := KEY.match(key)) and match[1] == cell]
        last = max((int(match[2]) for match in found), default=0)
        if not 2 <= last < MAX_STATES:
            raise GenotypeError(f"mmrazor's form has no {cell} nodes", where=f"{cell}_n2")
        nodes = [
            [_edge(chosen, cell, node, name) for name in chosen.get(f"{cell}_n{node}", [])]
            for node in range(2, last + 1)
        ]
        if not all(nodes):
            raise GenotypeError("mmrazor's form leaves out a node", where=f"{cell} cell")
        fields[cell] = from_nodes(nodes)
        fields[f"{cell}_concat"] = tuple(range(2, last + 1))
    return Genotype(**fields)


def _edge(chosen: dict[str, list[str]], cell: str, node: int, name: str) -> tuple[str, int]:
    match = KEY.match(name)
    operations = chosen.get(name, [])
    if not match or match[3] is None or (match[1], int(match[2])) != (cell, node):
        raise GenotypeError("a node chooses edges that lead to it", where=f"{name}"[:60])
    if len(operations) != 1:
        raise GenotypeError("a chosen edge has one operation", where=name[:60])
    return NONE if operations[0] == ZERO else operations[0], int(match[3])


def write(genotype: Genotype) -> str:
    """The YAML of the chosen inputs and operations.

    Raises:
        GenotypeError: the form cannot hold the genotype.
    """
    lines = []
    for cell, nodes in held(NAME, genotype, DARTS_OPERATIONS).items():
        for node, edges in enumerate(nodes, 2):
            lines += [f"{cell}_n{node}:", f"  {CHOSEN}:"]
            lines += [f"  - {cell}_n{node}_p{source}" for _, source in edges]
            for operation, source in edges:
                name = ZERO if operation == NONE else operation
                lines += [f"{cell}_n{node}_p{source}:", f"  {CHOSEN}:", f"  - {name}"]
    return "\n".join(lines)
