"""From alphas to a genotype, without torch: DARTS, section 2.4 (Liu et al., arXiv 1806.09055).

For each node, edges are ranked by the largest weight among their operations other than `none`,
the two best are kept, and each keeps that operation. The weights are the softmax over all
operations, `none` included, so a large `none` lowers an edge's rank without ever being chosen.
Ties go to the lower input and the earlier operation. Edges are listed by strength, as published.
"""

import math
from collections.abc import Mapping, Sequence

from darts_engine.run.errors import GenotypeError
from darts_engine.run.events import GenotypeChange
from darts_engine.run.genotype import CELLS, Genotype, Part

NONE = "none"
INPUTS_PER_NODE = 2

# The columns of a DARTS alpha, in the order of the published code.
DARTS_OPERATIONS = (
    NONE,
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

Rows = Sequence[Sequence[float]]


def softmax(rows: Rows) -> list[list[float]]:
    """Row-wise softmax of an (edges, operations) matrix, in double precision."""
    out = []
    for row in rows:
        top = max(row)
        powers = [math.exp(value - top) for value in row]
        total = sum(powers)
        out.append([power / total for power in powers])
    return out


def node_count(edges: int) -> int:
    """How many nodes a cell with this many edges has: 2 + 3 + ... per node.

    Raises:
        GenotypeError: no number of nodes has so many edges.
    """
    nodes, left = 0, edges
    while left > 0:
        left -= nodes + 2
        nodes += 1
    if left or not nodes:
        raise GenotypeError(f"{edges} edges do not make a cell", remedy="4 nodes have 14 edges")
    return nodes


def derive_cell(weights: Rows, operations: Sequence[str]) -> tuple[Part, ...]:
    """The kept (operation, input) pairs of one cell from its mixing weights, node after node."""
    parts: list[Part] = []
    start = 0
    candidates = [o for o, name in enumerate(operations) if name != NONE]
    for node in range(node_count(len(weights))):
        rows = weights[start : start + node + 2]
        best = [max(candidates, key=row.__getitem__) for row in rows]
        by_strength = sorted(range(len(rows)), key=lambda j: -rows[j][best[j]])
        parts += [(operations[best[j]], j) for j in by_strength[:INPUTS_PER_NODE]]
        start += node + 2
    return tuple(parts)


def derive(weights: Mapping[str, Rows], operations: Sequence[str]) -> Genotype:
    """The genotype of a normal and a reduction cell; all nodes are concatenated."""
    concat = tuple(range(2, 2 + node_count(len(weights["normal"]))))
    return Genotype(
        normal=derive_cell(weights["normal"], operations),
        normal_concat=concat,
        reduce=derive_cell(weights["reduce"], operations),
        reduce_concat=concat,
    )


def changes(before: Genotype | None, after: Genotype) -> list[GenotypeChange]:
    """What `after` keeps differently from `before`, node by node, whatever the order."""
    if before is None:
        return []
    out = []
    for cell in CELLS:
        old, new = before.edges(cell), after.edges(cell)
        for node in sorted({edge.node for edge in old + new}):
            was = [f"{e.operation}({e.input})" for e in old if e.node == node]
            now = [f"{e.operation}({e.input})" for e in new if e.node == node]
            removed = [name for name in was if name not in now]
            added = [name for name in now if name not in was]
            if removed or added:
                out.append(GenotypeChange(cell=cell, node=node, removed=removed, added=added))
    return out
