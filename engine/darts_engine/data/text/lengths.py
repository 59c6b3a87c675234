"""Where the windows of an epoch begin and how long they are (DARTS, appendix A; rnn/train.py).

All are drawn at once from a stream of seed, purpose and epoch. So any step of an epoch is known
without the steps before it, and a run resumes in the middle of an epoch.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from darts_engine.compute import streams

# Probability of the whole length; else it is half.
WHOLE = 0.95
# With jitter: the shortest window, and how much longer than bptt one may be.
SHORTEST, LONGER = 5, 20


class Window(NamedTuple):
    """A step's part of the text.

    Attributes:
        start: first row.
        length: rows; at the end of the text fewer than drawn.
        drawn: the length as drawn. The learning rate is scaled by drawn / bptt, as in the
            official code.
    """

    start: int
    length: int
    drawn: int


def windows(
    total: int, bptt: int, *, seed: int, purpose: str, epoch: int, jitter: float = 0.0
) -> list[Window]:
    """The windows of an epoch, one after another. The last two rows begin none.

    A length is `bptt`, or with a probability of 5 % half of it, rounded down. With jitter it is
    then drawn from a normal distribution around that, rounded down, and brought into 5 to
    bptt + 20: the search has none, the training of a cell has a deviation of 5.

    Args:
        total: T, rows of the columns.
        bptt: the base length, at least 2.
        seed: of the run.
        purpose: part of the name of the random stream.
        epoch: from 1.
        jitter: standard deviation of the normal distribution, in tokens.
    """
    shortest = SHORTEST if jitter else bptt // 2
    most = max(0, -(-(total - 2) // shortest))
    draws = streams.generator(seed, f"lengths {purpose}", epoch)
    chance = torch.rand(most, generator=draws, dtype=torch.float64)
    normal = torch.randn(most, generator=draws, dtype=torch.float64) if jitter else None
    lengths = _lengths(chance, normal, bptt, jitter)
    starts = lengths.cumsum(0) - lengths
    return [
        Window(start, min(length, total - 1 - start), length)
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        if start < total - 2
    ]


def mean_steps(total: int, bptt: int, *, jitter: float = 0.0) -> int:
    """The expected number of windows in an epoch, rounded: for display and estimates."""
    # Lengths at the middles of equal shares of probability instead of random ones.
    shares = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    normal = math.sqrt(2) * torch.erfinv(2 * shares - 1) if jitter else None
    mean = square = 0.0
    for chance, share in ((0.0, WHOLE), (1.0, 1 - WHOLE)):
        lengths = _lengths(torch.full_like(shares, chance), normal, bptt, jitter).double()
        mean += share * float(lengths.mean())
        square += share * float((lengths**2).mean())
    if total <= 2:
        return 0
    # Renewal theory: the text's end lies in a window that is longer than the mean.
    return max(1, round((total - 2) / mean + (square / mean**2 - 1 / mean) / 2))


def _lengths(chance: Tensor, normal: Tensor | None, bptt: int, jitter: float) -> Tensor:
    """(n,) int64 of uniform and standard normal numbers (n,)."""
    base = torch.where(chance < WHOLE, float(bptt), bptt / 2)
    if normal is None:
        return base.long()
    # Brought into the bounds before it is rounded: a giant number is no int64.
    return (base + jitter * normal).clamp(SHORTEST, bptt + LONGER).long()
