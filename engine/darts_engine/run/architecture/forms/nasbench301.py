"""The ConfigSpace dictionary of NAS-Bench-301's models (Zela et al., 2022, arXiv 2008.09777).

`edge_normal_0` to `_13` name the kept edges' operations, edges numbered node by node, and
`inputs_node_normal_3: "0_2"` a node's two inputs; node 2 has no choice. All keys begin with
`NetworkSelectorDatasetInfo:darts:`. Keys of the training stand beside them.
"""

import re
from typing import Any

from darts_engine.run.architecture.derivation import DARTS_OPERATIONS, NONE
from darts_engine.run.architecture.forms.cells import from_nodes, held
from darts_engine.run.architecture.genotype import CELLS, Genotype
from darts_engine.run.errors import GenotypeError

NAME = "nasbench301"
PREFIX = "NetworkSelectorDatasetInfo:darts:"
KEY = re.compile(r"(?:NetworkSelectorDatasetInfo:darts:)?edge_(normal|reduce)_[0-9]{1,2}\Z")
NODES = 4
OPERATIONS = tuple(name for name in DARTS_OPERATIONS if name != NONE)
# The number of the first edge into each node.
_FIRST = {2: 0, 3: 2, 4: 5, 5: 9}


def read(value: dict[str, Any]) -> Genotype:
    """The genotype of the dictionary.

    Raises:
        GenotypeError: an edge or a node's inputs are missing or malformed.
    """
    plain = {key.removeprefix(PREFIX): entry for key, entry in value.items()}
    fields: dict[str, Any] = {}
    for cell in CELLS:
        nodes = []
        for node, first in _FIRST.items():
            key = f"inputs_node_{cell}_{node}"
            written = "0_1" if node == 2 else plain.get(key)
            if not isinstance(written, str) or not re.fullmatch(r"[0-9]_[0-9]", written):
                raise GenotypeError("a node's two inputs are written as in '0_2'", where=key)
            sources = [int(source) for source in written.split("_")]
            if max(sources) >= node or sources[0] == sources[1]:
                raise GenotypeError("a node has two inputs before it", where=f"{key}: {written}")
            edges: list[tuple[Any, ...]] = []
            for source in sources:
                name = plain.get(f"edge_{cell}_{first + source}")
                if name not in OPERATIONS:
                    raise GenotypeError(
                        "a kept edge has no operation of NAS-Bench-301",
                        where=f"edge_{cell}_{first + source}: {str(name)[:40]}",
                        remedy=f"its operations are {', '.join(OPERATIONS)}",
                    )
                edges.append((name, source))
            nodes.append(edges)
        fields[cell] = from_nodes(nodes)
        fields[f"{cell}_concat"] = tuple(range(2, 2 + NODES))
    return Genotype(**fields)


def write(genotype: Genotype) -> dict[str, Any]:
    """The dictionary; a node's inputs are written in ascending order.

    Raises:
        GenotypeError: the form cannot hold the genotype.
    """
    out: dict[str, Any] = {}
    for cell, nodes in held(NAME, genotype, OPERATIONS, nodes=NODES).items():
        for node, edges in enumerate(nodes, 2):
            kept = {source: operation for operation, source in edges}
            for source in sorted(kept):
                out[f"{PREFIX}edge_{cell}_{_FIRST[node] + source}"] = kept[source]
            if node > 2:
                inputs = "_".join(map(str, sorted(kept)))
                out[f"{PREFIX}inputs_node_{cell}_{node}"] = inputs
    return out
