"""Cells of NAS-Bench-201: its string, the `Structure(...)` around it, and indices by table.

Six numbers say nothing without the name of the table whose orders they follow: NASLib lists the
edges by source and has other operations first than AutoDL, which lists them by target.
"""

import re
from typing import Any, NamedTuple

from darts_engine.run.architecture.genotype import MAX_STATES, NASBENCH201, Genotype, Part
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS
from darts_engine.run.errors import GenotypeError

NAME = "nb201"
INDICES = "nb201-indices"
NODES = 3
TEXT = re.compile(r"\|[A-Za-z0-9_]{1,40}~0\|[A-Za-z0-9_~|+]{0,4000}")
_BY_TARGET = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


class Table(NamedTuple):
    """The order of edges, (source, target) from state 0, and of operations."""

    edges: tuple[tuple[int, int], ...]
    operations: tuple[str, ...]


TABLES = {
    "naslib": Table(
        tuple(sorted(_BY_TARGET)),
        ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"),
    ),
    "autodl": Table(_BY_TARGET, NASBENCH201_OPERATIONS),
}
NAMED = re.compile(rf"({'|'.join(TABLES)})[ \t]*:?[ \t]*([\[(][0-9, \t]{{1,60}}[\])])\Z", re.I)
REMEDY = " or ".join(f"{name}:[2, 1, 4, 0, 2, 0]" for name in TABLES)


def read(text: str) -> Genotype:
    """The cell of a string such as `|none~0|+|skip_connect~0|nor_conv_3x3~1|+...`.

    Raises:
        GenotypeError: the text is none.
    """
    parts: list[Part] = []
    nodes = text.split("+")
    if len(nodes) >= MAX_STATES:
        raise GenotypeError(f"the cell has {len(nodes)} nodes")
    for node, written in enumerate(nodes, 1):
        names = re.findall(r"([A-Za-z0-9_]{1,40})~([0-9]{1,2})\|", written)
        if written != "|" + "".join(f"{name}~{source}|" for name, source in names):
            raise GenotypeError(
                "the text is not a cell of NAS-Bench-201",
                where=f"node {node}: {written[:60]}",
                remedy="expected as in |none~0|+|skip_connect~0|nor_conv_3x3~1|+...",
            )
        if [int(source) for _, source in names] != list(range(node)):
            raise GenotypeError("a node names each earlier state once", where=f"node {node}")
        parts += [(name, node, int(source)) for name, source in names]
    return Genotype(tuple(parts), (len(nodes),), form=NASBENCH201)


def write(genotype: Genotype) -> str:
    """The string.

    Raises:
        GenotypeError: the genotype is of another space.
    """
    _refuse_others(NAME, genotype)
    return genotype.text()


def read_indices(name: str, numbers: list[Any]) -> Genotype:
    """The cell of six indices in the orders of a table.

    Raises:
        GenotypeError: there are not six, or one is no operation's.
    """
    table = TABLES[name.lower()]
    if len(numbers) != len(table.edges):
        raise GenotypeError(f"a cell of NAS-Bench-201 has six indices, not {len(numbers)}")
    operations: dict[tuple[int, int], str] = {}
    for (source, target), number in zip(table.edges, numbers, strict=True):
        if type(number) is not int or not 0 <= number < len(table.operations):
            raise GenotypeError(
                f"there is no operation {str(number)[:20]} in the table {name}",
                remedy=f"0 to 4 are {', '.join(table.operations)}",
            )
        operations[target, source] = table.operations[number]
    parts = tuple((operations[edge], *edge) for edge in sorted(operations))
    return Genotype(parts, (NODES,), form=NASBENCH201)


def write_indices(genotype: Genotype, name: str = "naslib") -> str:
    """Six indices behind the name of their table.

    Raises:
        GenotypeError: the genotype is of another space, or has other nodes or operations.
    """
    _refuse_others(INDICES, genotype)
    table, edges = TABLES[name], {(e.input, e.node): e.operation for e in genotype.edges("cell")}
    if set(edges) != set(table.edges):
        raise GenotypeError(f"the form {INDICES} holds cells of {NODES} nodes")
    for operation in edges.values():
        if operation not in table.operations:
            raise GenotypeError(f"the form {INDICES} has no number for the operation {operation}")
    return f"{name}:{[table.operations.index(edges[edge]) for edge in table.edges]}"


def _refuse_others(form: str, genotype: Genotype) -> None:
    if genotype.form != NASBENCH201:
        raise GenotypeError(
            f"the form {form} has no place for a cell of {genotype.form}",
            remedy="it holds cells of NAS-Bench-201",
        )
