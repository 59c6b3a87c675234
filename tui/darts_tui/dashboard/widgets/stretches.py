"""How the rows of a tall heatmap stand: in stretches beside one another, whole nodes in each.

A recurrent cell of eight nodes has 36 edges, each of them only five operations wide: two or three
stretches show all of them where one would be cut.
"""

import itertools
from collections.abc import Sequence

# Fewer rows stand under one another.
TALL = 21
# The most stretches whose rows have all their columns in a width; the widest first.
_STRETCHES = ((146, 3), (76, 2))


def stretches(targets: Sequence[int], width: int) -> list[int]:
    """The number of rows of each stretch, so that the longest is as short as it can be.

    Args:
        targets: the node that each row leads to; rows of a node stand together.
        width: cells for all stretches.
    """
    if len(targets) < TALL:
        return [len(targets)]
    most = next((count for least, count in _STRETCHES if width >= least), 1)
    sizes = [len(list(rows)) for _, rows in itertools.groupby(targets)]
    cuts = itertools.combinations(range(1, len(sizes)), min(most, len(sizes)) - 1)
    # Of equally high ones the evenest.
    return min(
        (_sums(sizes, places) for places in cuts),
        key=lambda sums: (max(sums), sum(rows * rows for rows in sums)),
    )


def brackets(targets: Sequence[int]) -> list[str]:
    """For each row its part of a bracket around all rows of its node."""
    parts: list[str] = []
    for _, rows in itertools.groupby(targets):
        count = len(list(rows))
        parts += ["╶"] if count == 1 else ["╭", *["│"] * (count - 2), "╰"]
    return parts


def _sums(sizes: Sequence[int], places: Sequence[int]) -> list[int]:
    ends = (0, *places, len(sizes))
    return [sum(sizes[start:end]) for start, end in itertools.pairwise(ends)]
