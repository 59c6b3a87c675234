"""Cost of the parts of a network: parameters, and multiply-adds for one image.

Multiply-adds count convolutions and linear layers; pooling, normalisation and additions count
nothing.
"""

import math
from typing import NamedTuple


class Cost(NamedTuple):
    """Parameters and multiply-adds of a part of the network; parts add up with `plus`."""

    parameters: int = 0
    multiply_adds: int = 0

    def plus(self, *others: "Cost") -> "Cost":
        """The sum of this part and others."""
        parts = (self, *others)
        return Cost(sum(p.parameters for p in parts), sum(p.multiply_adds for p in parts))


NOTHING = Cost()


def convolution(inputs: int, outputs: int, kernel: int, positions: int, *, groups: int = 1) -> Cost:
    """A convolution without bias: `kernel` taps, `positions` output positions."""
    weights = inputs // groups * outputs * kernel
    return Cost(weights, weights * positions)


def normalisation(channels: int) -> Cost:
    """A batch norm with scale and shift."""
    return Cost(2 * channels)


def linear(inputs: int, outputs: int) -> Cost:
    """A linear layer with bias."""
    return Cost(inputs * outputs + outputs, inputs * outputs)


def strided(side: int, stride: int) -> int:
    """Output positions along one side, with padding that keeps the size at stride 1."""
    return math.ceil(side / stride)
