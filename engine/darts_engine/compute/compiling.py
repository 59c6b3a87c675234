"""Compiles a network in place with torch.compile; if that fails, the plain forward stays."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def compile_forward(network: nn.Module, warn: Callable[[str], None], backend: Any = None) -> None:
    """Compile a network's forward pass; the names in its `state_dict` stay as they are.

    Compilation happens at the first call, and again for every other size of batch. If it fails
    there, `warn` is called with the reason, and the plain forward pass is used from then on.

    Args:
        network: changed in place.
        warn: writes one line for people.
        backend: of torch.compile; None for its default.
    """
    plain = network.forward
    compiled: Callable[..., Any] = torch.compile(
        plain, dynamic=False, backend=backend or "inductor"
    )

    def forward(*inputs: Any, **named: Any) -> Any:
        nonlocal compiled
        try:
            return compiled(*inputs, **named)
        except _faults() as error:
            if compiled is plain:
                raise
            compiled = plain
            reason = " ".join(str(error).split("\n", 2)[:2])[:300]
            warn(f"not compiled, because {type(error).__name__}: {reason}")
            return plain(*inputs, **named)

    network.forward = forward


def _faults() -> tuple[type[Exception], ...]:
    """The errors of the compiler itself; all others are the network's."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException,)
