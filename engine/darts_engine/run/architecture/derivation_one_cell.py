"""From alphas to a genotype in the spaces of one cell type and one input, without torch.

NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326, section 2.1) keeps every edge with its
strongest operation, which may be `none`. NAS-Bench-1Shot1 (Zela et al., ICLR 2020, arXiv
2001.10422, section 3) keeps each node's strongest operation and its strongest parents, as many as
the space gives. Ties go to the earlier operation and the earlier state.
"""

from collections.abc import Mapping, Sequence

from darts_engine.run.architecture.derivation import NONE, Rows
from darts_engine.run.architecture.genotype import NASBENCH101, NASBENCH201, OUTPUT, Genotype, Part


def edges_of(nodes: int) -> list[tuple[int, int]]:
    """(source, target) of every edge of a complete cell with one input, target by target."""
    return [(source, target) for target in range(1, nodes + 1) for source in range(target)]


def derive_edges(weights: Rows, names: Sequence[str], threshold: float | None = None) -> Genotype:
    """NAS-Bench-201: each edge's strongest operation.

    Args:
        weights: (E, O) mixing weights, edges as in `edges_of`.
        names: of the columns.
        threshold: for independent gates; an edge whose strongest gate is below it keeps `none`.
    """
    nodes = next(n for n in range(1, len(weights) + 1) if n * (n + 1) // 2 == len(weights))
    parts: list[Part] = []
    for (source, target), row in zip(edges_of(nodes), weights, strict=True):
        best = _strongest(row, 1)[0]
        is_open = threshold is None or row[best] >= threshold
        parts.append((names[best] if is_open else NONE, target, source))
    return Genotype(tuple(parts), (nodes,), form=NASBENCH201)


def derive_nodes(
    operations: Rows,
    names: Sequence[str],
    parents: Mapping[int, Sequence[float]],
    kept: Sequence[int],
) -> Genotype:
    """NAS-Bench-1Shot1: each node's strongest operation and strongest parents.

    Args:
        operations: (N, O) mixing weights of nodes 1 to N.
        names: of the columns.
        parents: node -> weights of the states before it, for nodes that choose among them; the
            output is node N + 1.
        kept: number of parents of nodes 1 to N + 1.
    """
    parts: list[Part] = []
    for node, count in enumerate(kept, 1):
        is_output = node > len(operations)
        name = OUTPUT if is_output else names[_strongest(operations[node - 1], 1)[0]]
        row = parents.get(node, [1.0] * node)
        parts += [(name, node, source) for source in sorted(_strongest(row, count))]
    return Genotype(tuple(parts), (len(kept),), form=NASBENCH101)


def _strongest(row: Sequence[float], count: int) -> list[int]:
    return sorted(range(len(row)), key=lambda place: -row[place])[:count]
