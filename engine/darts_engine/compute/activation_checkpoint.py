"""Activation checkpointing: keep only a module's inputs, and compute its inside again later.

Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, arXiv 1604.06174. The second
computation must repeat the first. So `requires_grad` of the weights is as it was then, and the
running statistics of batch norms are left alone: they already include the batch.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, *inputs: object) -> Tensor:
    """`module(*inputs)`; only the inputs are kept for the backward pass."""
    # A cell draws no random numbers: the config refuses methods that do.
    out: Tensor = checkpoint(
        module,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _FirstPass(module)),
        preserve_rng_state=False,
    )
    return out


class _FirstPass:
    """Context of the second computation. It is made before the first, whose state it restores."""

    def __init__(self, module: nn.Module) -> None:
        self._weights = list(module.parameters())
        self._norms = [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)]
        self._learned = [weight.requires_grad for weight in self._weights]
        self._tracked = [norm.track_running_stats for norm in self._norms]
        self._kept: list[dict[str, Tensor | None]] = []

    def __enter__(self) -> None:
        self._kept = [norm._buffers for norm in self._norms]
        for norm in self._norms:
            # In evaluation mode the statistics are read, not written.
            if norm.training:
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
        """Swap the remembered state with the present one."""
        for index, weight in enumerate(self._weights):
            now = weight.requires_grad
            weight.requires_grad_(self._learned[index])
            self._learned[index] = now
        for index, norm in enumerate(self._norms):
            now, norm.track_running_stats = norm.track_running_stats, self._tracked[index]
            self._tracked[index] = now
