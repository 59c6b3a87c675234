"""Back onto the probability simplex, as in the code of SmoothDARTS.

Chen and Hsieh, 2020, arXiv 2002.05283. Shapes: E edges, O operations.
"""

from torch import Tensor


def clipped(weights: Tensor) -> Tensor:
    """Rows (E, O) with entries clamped to [0, 1] and scaled to sum 1.

    A row without a positive entry becomes one-hot at its largest entry.
    """
    largest = weights.argmax(-1, keepdim=True)
    rows = weights.clamp(0, 1)
    empty = rows.sum(-1, keepdim=True) == 0
    rows = rows.scatter(-1, largest, rows.gather(-1, largest) + empty.to(rows.dtype))
    return rows / rows.sum(-1, keepdim=True)
