"""The form of NNI 1 and 2: `normal_n2_p0: "sepconv3x3"`, `normal_n2_switch: ["normal_n2_p0", ...]`.

An operation may be written as its place among NNI's, an input as a number or as its edge's name.
"""

import re
from typing import Any

from darts_engine.run.architecture.forms.cells import from_nodes, held
from darts_engine.run.architecture.genotype import (
    CELLS,
    MAX_STATES,
    NNI_OPERATIONS,
    Genotype,
)
from darts_engine.run.errors import GenotypeError

NAME = "nni"
KEY = re.compile(r"(?:normal|reduce)_n[0-9]{1,3}_(?:p[0-9]{1,3}|switch)\Z")
_ORDER = list(NNI_OPERATIONS.values())


def read(value: dict[str, Any]) -> Genotype:
    """The genotype of NNI's dictionary.

    Raises:
        GenotypeError: a node, an edge or an operation is missing or unknown.
    """
    fields: dict[str, Any] = {}
    for cell in CELLS:
        found = [re.fullmatch(rf"{cell}_n([0-9]{{1,3}})_switch", str(key)) for key in value]
        places = [int(match[1]) for match in found if match]
        if not places or max(places) >= MAX_STATES:
            raise GenotypeError(f"the NNI form has no {cell} nodes", where=f"{cell}_n2_switch")
        nodes: list[list[tuple[Any, ...]]] = []
        for node in range(2, max(places) + 1):
            # An edge that the switch leaves out does not count; in some files it has an operation.
            switch = value.get(f"{cell}_n{node}_switch", [])
            if isinstance(switch, list) and len(switch) > MAX_STATES:
                raise GenotypeError("a switch has more inputs than there are states")
            names = switch if isinstance(switch, list) else [switch]
            nodes.append([_edge(value, cell, node, name) for name in names])
        fields[cell] = from_nodes(nodes)
        fields[f"{cell}_concat"] = tuple(range(2, max(places) + 1))
    return Genotype(**fields)


def _edge(value: dict[str, Any], cell: str, node: int, name: Any) -> tuple[str, int]:
    key = f"{cell}_n{node}_p{name}" if type(name) is int and 0 <= name < MAX_STATES else str(name)
    match = re.fullmatch(rf"{cell}_n{node}_p([0-9]{{1,3}})", key)
    operation = value.get(key)
    if isinstance(operation, list) and len(operation) == 1:
        (operation,) = operation
    if match and type(operation) is int and 0 <= operation < len(_ORDER):
        return _ORDER[operation], int(match[1])
    if match and isinstance(operation, str):
        if operation in NNI_OPERATIONS:
            return NNI_OPERATIONS[operation], int(match[1])
        if operation in _ORDER:
            return operation, int(match[1])
    raise GenotypeError(
        "the NNI form names an unknown edge or operation",
        where=f"{key[:60]}: {str(operation)[:40]}",
        remedy=f"its operations are {', '.join(NNI_OPERATIONS)}",
    )


def write(genotype: Genotype) -> dict[str, Any]:
    """NNI's dictionary, with an empty entry for each edge that is not kept.

    Raises:
        GenotypeError: the form cannot hold the genotype.
    """
    names = {ours: theirs for theirs, ours in NNI_OPERATIONS.items()}
    out: dict[str, Any] = {}
    for cell, nodes in held(NAME, genotype, names, inputs=None).items():
        for place, node in enumerate(nodes, 2):
            inputs = {source: names[operation] for operation, source in node}
            for source in range(place):
                out[f"{cell}_n{place}_p{source}"] = inputs.get(source, [])
            out[f"{cell}_n{place}_switch"] = [f"{cell}_n{place}_p{source}" for source in inputs]
    return out
