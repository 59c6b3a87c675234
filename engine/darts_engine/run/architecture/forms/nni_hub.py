"""The form of NNI 2.8 to 3: `normal/op_2_0: "sep_conv_3x3"`, `normal/input_2_0: [0]`."""

import re
from typing import Any

from darts_engine.run.architecture.forms.cells import from_nodes, held
from darts_engine.run.architecture.genotype import CELLS, MAX_STATES, Genotype
from darts_engine.run.errors import GenotypeError

NAME = "nni-hub"
KEY = re.compile(r"(normal|reduce)/(op|input)_([0-9]{1,2})_([0-9]{1,2})\Z")


def read(value: dict[str, Any]) -> Genotype:
    """The genotype of the hub's dictionary; keys of no cell, such as `width`, are not of it.

    Raises:
        GenotypeError: an entry is missing, unknown or malformed.
    """
    found: dict[str, dict[int, dict[int, dict[str, Any]]]] = {cell: {} for cell in CELLS}
    for key, entry in value.items():
        match = KEY.match(key)
        if match:
            node = found[match[1]].setdefault(int(match[3]), {})
            node.setdefault(int(match[4]), {})[match[2]] = entry
        elif key.startswith(CELLS):
            raise GenotypeError("the hub form has an unknown entry", where=key[:60])
    fields: dict[str, Any] = {}
    for cell, places in found.items():
        last = max(places, default=0)
        if not 2 <= last < MAX_STATES:
            raise GenotypeError(f"the hub form has no {cell} nodes", where=f"{cell}/op_2_0")
        nodes = [
            [_edge(cell, n, k, entry) for k, entry in sorted(places.get(n, {}).items())]
            for n in range(2, last + 1)
        ]
        fields[cell] = from_nodes(nodes)
        fields[f"{cell}_concat"] = tuple(range(2, last + 1))
        if len(places) != len(nodes):
            raise GenotypeError("the hub form leaves out a node", where=f"{cell} cell")
    return Genotype(**fields)


def _edge(cell: str, node: int, place: int, entry: dict[str, Any]) -> tuple[Any, ...]:
    source = entry.get("input")
    if isinstance(source, list) and len(source) == 1:
        (source,) = source
    if not isinstance(entry.get("op"), str) or type(source) is not int:
        raise GenotypeError(
            "the hub form gives each input an operation and a state",
            where=f"{cell}/op_{node}_{place}, {cell}/input_{node}_{place}",
        )
    return entry["op"], source


def write(genotype: Genotype) -> dict[str, Any]:
    """The hub's dictionary.

    Raises:
        GenotypeError: the form cannot hold the genotype.
    """
    out: dict[str, Any] = {}
    for cell, nodes in held(NAME, genotype, is_edge_single=False).items():
        for node, edges in enumerate(nodes, 2):
            for place, (operation, source) in enumerate(edges):
                out[f"{cell}/op_{node}_{place}"] = operation
                out[f"{cell}/input_{node}_{place}"] = [source]
    return out
