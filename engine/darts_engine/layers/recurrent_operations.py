"""The candidate operations of a recurrent cell; `none` computes nothing and has no entry.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.1.2. Each takes and gives any shape.
"""

import torch

OPERATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": torch.positive,
}
