"""The candidate operations of a recurrent cell; `none` computes nothing and has no entry.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.1.2. Each takes and gives any shape.
"""

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
