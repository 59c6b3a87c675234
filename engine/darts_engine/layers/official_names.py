"""The names that the official DARTS code gives to the tensors of an operation.

`quark0/darts`, `cnn/operations.py`.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from darts_engine.layers.operations import (
    Conv7x1,
    ConvNorm,
    DilConv,
    FactorizedReduce,
    SepConv,
)
from darts_engine.run.errors import CheckpointError

COUNTER = "num_batches_tracked"

_SEPARABLE = {"depthwise": "op.1", "pointwise": "op.2", "norm": "op.3"}
_TWICE = {"depthwise": "op.5", "pointwise": "op.6", "norm": "op.7"}
# Of each operation, our name of a part -> the official name.
PARTS: dict[type[nn.Module], dict[str, str]] = {
    Conv7x1: {"wide": "1", "tall": "2", "norm": "3"},
    ConvNorm: {"conv": "op.1", "norm": "op.2"},
    FactorizedReduce: {"straight": "conv_1", "shifted": "conv_2", "norm": "bn"},
    DilConv: _SEPARABLE,
    SepConv: {f"first.{ours}": theirs for ours, theirs in _SEPARABLE.items()}
    | {f"second.{ours}": theirs for ours, theirs in _TWICE.items()},
}


def checked_tensor(state: Mapping[str, object], key: str, own: Tensor, remedy: str) -> Tensor:
    """The tensor of a state under a key, detached.

    Args:
        state: tensors by official name.
        key: of the tensor.
        own: our tensor, which has the shape that it must have.
        remedy: what the user should do if it does not fit.

    Raises:
        CheckpointError: the key is missing, or its shape differs.
    """
    value = state.get(key)
    if not isinstance(value, Tensor) or value.is_meta:
        raise CheckpointError("the weights lack a tensor", where=key, remedy=remedy)
    if not value.is_floating_point() and own.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"a tensor has numbers of the kind {kind}", where=key, remedy="weights are floats"
        )
    if value.shape != own.shape:
        raise CheckpointError(
            f"a tensor has the shape {tuple(value.shape)} instead of {tuple(own.shape)}",
            where=key,
            remedy=remedy,
        )
    return value.detach()


def parts(module: nn.Module, theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """(official name, our name) of the tensors of an operation in `PARTS`.

    Args:
        module: the operation.
        theirs: its name in the official code.
        ours: its name in our network.
    """
    for mine, other in PARTS[type(module)].items():
        yield from tensors(module.get_submodule(mine), f"{theirs}.{other}", f"{ours}.{mine}")


def tensors(module: nn.Module, theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """(official name, our name) of the tensors of a module with the same names inside.

    Args:
        module: for example a convolution or a batch norm.
        theirs: its name in the official code.
        ours: its name in our network.
    """
    for name in module.state_dict():
        if name.rpartition(".")[2] != COUNTER:
            yield f"{theirs}.{name}", f"{ours}.{name}"
