"""Activation checkpointing: keep a module's inputs, and compute its inside again when needed.

Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, arXiv 1604.06174. The second
computation must be the first one over again. So it sees the weights as frozen as they were then,
and what it would add to the running statistics of batch norms is thrown away: they have taken the
batch in already.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, *inputs: object) -> Tensor:
    """`module(*inputs)`, keeping nothing of it for the backward pass but the inputs."""
    # There are no random numbers in a cell: the config refuses methods that draw some.
    out: Tensor = checkpoint(
        module,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _AsItWas(module)),
        preserve_rng_state=False,
    )
    return out


class _AsItWas:
    """The context of a second computation, made before the first, whose state it remembers."""

    def __init__(self, module: nn.Module) -> None:
        self._weights = list(module.parameters())
        self._norms = [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)]
        self._learned = [weight.requires_grad for weight in self._weights]
        self._tracked = [norm.track_running_stats for norm in self._norms]
        self._kept: list[dict[str, Tensor | None]] = []

    def __enter__(self) -> None:
        self._kept = [norm._buffers for norm in self._norms]
        for norm in self._norms:
            norm._buffers = {
                name: None if buffer is None else torch.empty_like(buffer)
                for name, buffer in norm._buffers.items()
            }
        self._exchange()

    def __exit__(self, *_: object) -> None:
        self._exchange()
        for norm, buffers in zip(self._norms, self._kept, strict=True):
            norm._buffers = buffers

    def _exchange(self) -> None:
        """What was remembered, for what is now."""
        for index, weight in enumerate(self._weights):
            now = weight.requires_grad
            weight.requires_grad_(self._learned[index])
            self._learned[index] = now
        for index, norm in enumerate(self._norms):
            now, norm.track_running_stats = norm.track_running_stats, self._tracked[index]
            self._tracked[index] = now
