"""torch.compile for a network, in place, and back to the ordinary forward if it cannot be done."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def compile_forward(network: nn.Module, warn: Callable[[str], None], backend: Any = None) -> None:
    """Compile a network's forward pass; the names in its `state_dict` stay as they are.

    Compilation happens at the first call, and again for every other size of batch. If it fails
    there, `warn` is told why, and the network computes as ever from then on.

    Args:
        network: changed in place.
        warn: takes one line for people.
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
            told = " ".join(str(error).split("\n", 2)[:2])[:300]
            warn(f"not compiled, because {type(error).__name__}: {told}")
            return plain(*inputs, **named)

    network.forward = forward


def _faults() -> tuple[type[Exception], ...]:
    """What the compiler raises about itself; other faults are the network's own."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException,)
