"""The matrix of NAS-Bench-101: `{"matrix": upper triangle of 0 and 1, "ops": a name for each}`."""

from typing import Any

from darts_engine.run.architecture.genotype import MAX_STATES, NASBENCH101, OUTPUT, Genotype
from darts_engine.run.errors import GenotypeError


def read(value: dict[str, Any]) -> Genotype:
    """The cell of a matrix and its operations; `Genotype.matrix` writes it.

    Raises:
        GenotypeError: the matrix or the operations are malformed.
    """
    matrix, names = value.get("matrix"), value.get("ops")
    size = len(matrix) if isinstance(matrix, list) else 0
    if (
        not 2 <= size <= MAX_STATES
        or not isinstance(matrix, list)
        or not isinstance(names, list)
        or len(names) != size
        or not all(isinstance(name, str) for name in names)
        or not all(isinstance(row, list) and len(row) == size for row in matrix)
        or not all(type(flag) is int and flag in (0, 1) for row in matrix for flag in row)
        or any(matrix[row][column] for row in range(size) for column in range(row + 1))
    ):
        raise GenotypeError(
            "the matrix form is a square of 0 and 1 above its diagonal, and an operation for each "
            "row"
        )
    if names[0] != "input" or names[-1] != OUTPUT:
        raise GenotypeError("the first row is the input and the last the output")
    # NAS-Bench-101 leaves out nodes without an input; their operation has no effect.
    kept = _reachable(matrix)
    if kept[-1] != size - 1:
        raise GenotypeError("no path leads from the input to the output")
    parts = tuple(
        (names[node].replace("-", "_"), place, kept.index(source))
        for place, node in enumerate(kept)
        for source in kept[:place]
        if matrix[source][node]
    )
    return Genotype(parts, (len(kept) - 1,), form=NASBENCH101)


def _reachable(matrix: list[list[int]]) -> list[int]:
    """The first row, and all rows that a path leads to from it."""
    fed = [0]
    for node in range(1, len(matrix)):
        if any(matrix[source][node] for source in fed):
            fed.append(node)
    return fed
