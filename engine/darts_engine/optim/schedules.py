"""Schedules: the value of a quantity in each epoch, with epochs counted from 0 here."""

import math


def cosine(start: float, end: float, epoch: int, epochs: int) -> float:
    """From `start` in epoch 0 towards `end`, which epoch `epochs` would reach.

    SGDR (Loshchilov and Hutter, 2017, eq. 5) without restarts, as the DARTS code uses it: with 50
    epochs from 0.025 to 0.001, the last epoch has 1.023679e-3.
    """
    return end + (start - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def ramp(end: float, epoch: int, epochs: int) -> float:
    """Linearly from 0 in epoch 0 towards `end`, which epoch `epochs` would reach."""
    return end * epoch / epochs
