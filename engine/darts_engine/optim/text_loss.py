"""The loss of a recurrent network on text, and what is added to it.

Merity et al., 2017, arXiv 1708.01009: activation regularisation and its temporal form, which DARTS'
recurrent cells are searched and trained with. Shapes: T time steps, B columns, V words, n width.
"""

from torch import Tensor
from torch.nn import functional


def negative_log_likelihood(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Mean over all tokens, a scalar in nats.

    Args:
        log_probabilities: (T, B, V).
        targets: (T, B) ids of the tokens that come next.
    """
    return functional.nll_loss(log_probabilities.flatten(0, 1), targets.flatten())


def slowness(states: Tensor) -> Tensor:
    """Mean squared change of the hidden state (T, B, n) from step to step; 0 of a single step."""
    if len(states) < 2:
        return states.new_zeros(())
    return (states[1:] - states[:-1]).pow(2).mean()


def activation(dropped: Tensor) -> Tensor:
    """Mean square of the outputs (T, B, n) after their dropout."""
    return dropped.pow(2).mean()
