"""The candidate operations of a recurrent cell; `none` computes nothing and has no entry.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.1.2. Each takes and gives any shape.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def identity(state: Tensor) -> Tensor:
    """The state itself. `torch.positive` is the same, but ONNX has no word for it."""
    return state


OPERATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": identity,
}
# A factor times the derivative, from the factor and the operation's value; they are broadcast.
SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "tanh": torch.ops.aten.tanh_backward,
    "relu": lambda factor, value: torch.ops.aten.threshold_backward(factor, value, 0),
    "sigmoid": torch.ops.aten.sigmoid_backward,
    "identity": lambda factor, _: factor,
}
