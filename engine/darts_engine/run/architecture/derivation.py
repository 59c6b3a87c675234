"""From alphas to a genotype, without torch: DARTS, section 2.4 (Liu et al., arXiv 1806.09055).

For each node, edges are ranked by the largest weight among their operations other than `none`,
the two best are kept, and each keeps that operation. The weights are the softmax over all
operations, `none` included, so a large `none` lowers an edge's rank but is never chosen.
Ties go to the lower input and the earlier operation. Edges are listed by strength, as published.

The other rules of the axis "derivation" are here too: FairDARTS's threshold, GDAS's joint choice of
edges and operations, and P-DARTS's limit on skip connections.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from darts_engine.run.architecture.genotype import CELLS, Genotype, GenotypeChange, Part
from darts_engine.run.errors import GenotypeError

NONE = "none"
SKIP = "skip_connect"
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
    """Nodes of a cell with this many edges: node i has i + 1 inputs, i from 1.

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


# One list of names for all edges, or a list for each.
Operations = Sequence[str] | Sequence[Sequence[str]]
Rule = Callable[[Rows, Operations], tuple[Part, ...]]


class _Node(NamedTuple):
    """One node's edges: their weights and operations by input."""

    place: int
    rows: Sequence[Sequence[float]]
    names: Sequence[Sequence[str]]

    def best(self, source: int) -> int:
        """The column of an edge's strongest operation other than `none`."""
        row, names = self.rows[source], self.names[source]
        return max((o for o, name in enumerate(names) if name != NONE), key=row.__getitem__)

    def strongest(self) -> list[tuple[str, int, float]]:
        """The two strongest edges: operation, input, weight."""
        edges = [
            (self.names[j][self.best(j)], j, self.rows[j][self.best(j)])
            for j in range(len(self.rows))
        ]
        return sorted(edges, key=lambda edge: -edge[2])[:INPUTS_PER_NODE]


def _nodes(weights: Rows, operations: Operations) -> Iterator[_Node]:
    names: Sequence[Sequence[str]]
    if operations and isinstance(operations[0], str):
        names = [operations] * len(weights)  # type: ignore[list-item]
    else:
        names = operations
    start = 0
    for node in range(node_count(len(weights))):
        end = start + node + 2
        yield _Node(node, weights[start:end], names[start:end])
        start = end


def derive_cell(weights: Rows, operations: Operations) -> tuple[Part, ...]:
    """The kept (operation, input) pairs of one cell from its mixing weights, node after node."""
    return tuple(
        (name, source)
        for node in _nodes(weights, operations)
        for name, source, _ in node.strongest()
    )


def derive_joint(weights: Rows, operations: Operations) -> tuple[Part, ...]:
    """GDAS: the two strongest (operation, input) pairs of each node; both may be of one edge."""
    parts: list[Part] = []
    for node in _nodes(weights, operations):
        pairs = [
            (name, j, row[o])
            for j, row in enumerate(node.rows)
            for o, name in enumerate(node.names[j])
            if name != NONE
        ]
        best = sorted(pairs, key=lambda pair: -pair[2])[:INPUTS_PER_NODE]
        parts += [(name, j) for name, j, _ in best]
    return tuple(parts)


def derive_threshold(
    weights: Rows, operations: Operations, threshold: float = 0.85
) -> tuple[Part, ...]:
    """FairDARTS: of the two strongest edges of each node, those whose gate is open.

    Parts are (operation, node, input) with nodes counted from 2, because a node may keep one edge
    or none.
    """
    return tuple(
        (name, node.place + 2, source)
        for node in _nodes(weights, operations)
        for name, source, weight in node.strongest()
        if weight >= threshold
    )


def derive_skip_limited(weights: Rows, operations: Operations, most: int = 2) -> tuple[Part, ...]:
    """P-DARTS: while too many skip connections are kept, drop the weakest and derive again."""
    rows = [list(row) for row in weights]
    while True:
        kept, start = [], 0
        for node in _nodes(rows, operations):
            kept += [
                (weight, start + source, node.names[source].index(name))
                for name, source, weight in node.strongest()
                if name == SKIP
            ]
            start += len(node.rows)
        # A node whose edges have only skip connections keeps them.
        left = [skip for skip in kept if skip[0] > -math.inf]
        if len(kept) <= most or not left:
            return derive_cell(rows, operations)
        _, edge, column = min(left)
        rows[edge][column] = -math.inf


def derive(
    weights: Mapping[str, Rows],
    operations: Operations | Mapping[str, Operations],
    rule: Rule = derive_cell,
    reduce_rule: Rule | None = None,
) -> Genotype:
    """The genotype of a normal and a reduction cell; all nodes are concatenated.

    Args:
        weights: (E, O) mixing weights by cell.
        operations: the columns' names, for all edges, for each edge, or for each cell.
        rule: derives a cell.
        reduce_rule: rule for the reduction cell, if it is another.
    """

    def of(cell: str) -> Operations:
        return operations[cell] if isinstance(operations, Mapping) else operations

    concat = {cell: tuple(range(2, 2 + node_count(len(weights[cell])))) for cell in CELLS}
    return Genotype(
        normal=rule(weights["normal"], of("normal")),
        normal_concat=concat["normal"],
        reduce=(reduce_rule or rule)(weights["reduce"], of("reduce")),
        reduce_concat=concat["reduce"],
    )


def with_loose_ends(genotype: Genotype) -> Genotype:
    """The same edges, with only those nodes concatenated that are no input of another node.

    Zoph et al., NASNet, CVPR 2018, arXiv 1707.07012, section 3.
    """

    def loose(cell: str) -> tuple[int, ...]:
        taken = {edge.input for edge in genotype.edges(cell)}
        _, concat = genotype.cell(cell)
        return tuple(state for state in concat if state not in taken)

    return Genotype(
        normal=genotype.normal,
        normal_concat=loose("normal"),
        reduce=genotype.reduce,
        reduce_concat=loose("reduce"),
    )


def changes(before: Genotype | None, after: Genotype) -> list[GenotypeChange]:
    """Edges that differ between two genotypes, node by node; their order does not matter."""
    if before is None:
        return []
    out = []
    for cell in after.cells:
        old, new = before.edges(cell), after.edges(cell)
        for node in sorted({edge.node for edge in old + new}):
            was = [f"{e.operation}({e.input})" for e in old if e.node == node]
            now = [f"{e.operation}({e.input})" for e in new if e.node == node]
            removed = [name for name in was if name not in now]
            added = [name for name in now if name not in was]
            if removed or added:
                out.append(GenotypeChange(cell=cell, node=node, removed=removed, added=added))
    return out
