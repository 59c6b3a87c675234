"""From alphas to a recurrent cell, without torch.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.4 and appendix A.1: node i keeps the one edge
from a state before it whose strongest operation other than `none` is the largest, and that
operation. The weights are the softmax over all operations, `none` included, so `none` takes a share
and is never kept. Ties go to the earlier state and the earlier operation.
"""

from collections.abc import Sequence

from darts_engine.run.architecture.derivation import NONE, Rows
from darts_engine.run.architecture.derivation_one_cell import edges_of
from darts_engine.run.architecture.genotype import RECURRENT, Genotype, Part

# The columns of alpha, in the order of the published code.
RECURRENT_OPERATIONS = (NONE, "tanh", "relu", "sigmoid", "identity")


def derive_chain(weights: Rows, names: Sequence[str] = RECURRENT_OPERATIONS) -> Genotype:
    """The recurrent cell of mixing weights; its output is the mean of all nodes.

    Args:
        weights: (E, O), edges as in `derivation_one_cell.edges_of`.
        names: of the columns.
    """
    nodes = next(n for n in range(1, len(weights) + 1) if n * (n + 1) // 2 == len(weights))
    kept = [column for column, name in enumerate(names) if name != NONE]
    best: dict[int, tuple[float, Part]] = {}
    for (source, target), row in zip(edges_of(nodes), weights, strict=True):
        column = max(kept, key=row.__getitem__)
        if target not in best or row[column] > best[target][0]:
            best[target] = row[column], (names[column], target, source)
    parts = tuple(best[node][1] for node in range(1, nodes + 1))
    return Genotype(parts, tuple(range(1, nodes + 1)), form=RECURRENT)
