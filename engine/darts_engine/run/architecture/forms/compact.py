"""The compact tuples of NASLib and BANANAS: two cells of (input, operation's number).

The numbers count the operations of DARTS without `none`: 0 is max_pool_3x3, 6 is dil_conv_5x5.
"""

from typing import Any

from darts_engine.run.architecture.forms.cells import held
from darts_engine.run.architecture.forms.nasbench301 import NODES, OPERATIONS
from darts_engine.run.architecture.genotype import CELLS, Genotype
from darts_engine.run.errors import GenotypeError

NAME = "compact"


def fits(value: list[Any]) -> bool:
    """Whether a list is two cells of pairs of integers."""
    return len(value) == 2 and all(
        isinstance(cell, list)
        and len(cell) == 2 * NODES
        and all(isinstance(p, list) and [type(n) for n in p] == [int, int] for p in cell)
        for cell in value
    )


def read(value: list[Any]) -> Genotype:
    """The genotype of a list that `fits`.

    Raises:
        GenotypeError: an operation's number is unknown, or an input comes after its node.
    """
    fields: dict[str, Any] = {}
    for cell, pairs in zip(CELLS, value, strict=True):
        for source, number in pairs:
            if not 0 <= number < len(OPERATIONS):
                raise GenotypeError(
                    f"there is no operation {number} in the compact form",
                    where=f"{cell} cell, ({source}, {number})"[:60],
                    remedy=f"0 to {len(OPERATIONS) - 1} are {', '.join(OPERATIONS)}",
                )
        fields[cell] = tuple((OPERATIONS[number], source) for source, number in pairs)
        fields[f"{cell}_concat"] = tuple(range(2, 2 + NODES))
    return Genotype(**fields)


def write(genotype: Genotype) -> str:
    """The tuples as Python prints them.

    Raises:
        GenotypeError: the form cannot hold the genotype.
    """
    nodes = held(NAME, genotype, OPERATIONS, nodes=NODES, is_edge_single=False)
    pairs = [
        tuple((source, OPERATIONS.index(name)) for node in nodes[cell] for name, source in node)
        for cell in CELLS
    ]
    return repr(tuple(pairs))
