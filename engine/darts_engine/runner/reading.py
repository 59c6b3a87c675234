"""A network's loss over the whole of a text.

Shapes: T rows of text, B columns, L rows of a window, V tokens, n width.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from darts_engine.data.text.columns import window
from darts_engine.optim.text_loss import negative_log_likelihood
from darts_engine.runner.meter import TokenMeter

# From tokens (L, B) and a hidden state (B, n) to log-probabilities (L, B, V) and the next state.
Read = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@torch.no_grad()
def mean_loss(columns: Tensor, length: int, read: Read, hidden: Tensor) -> float | None:
    """Mean loss over the tokens that columns of text predict, in nats; None if it is not finite.

    The hidden state goes on from window to window. The first row is nothing's target, so T - 1 rows
    are predicted.

    DEVIATION: the official code divides by T, and so tells (T - 1) / T of the loss.

    Args:
        columns: (T, B) ids.
        length: rows of a window. It decides how much memory is needed, and nothing else.
        read: of the network, in evaluation mode.
        hidden: before the first row, (B, n).
    """
    meter = TokenMeter(columns.device)
    for start in range(0, len(columns) - 1, length):
        inputs, targets = window(columns, start, length)
        log_probabilities, hidden = read(inputs, hidden)
        loss = negative_log_likelihood(log_probabilities, targets)
        meter.add(loss, log_probabilities, targets)
    return meter.read()[0]
