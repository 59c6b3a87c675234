"""Read and write the weights of trained networks in the layout of the official code.

A derived network has the layout of the official DARTS code (`NetworkCIFAR` and `NetworkImageNet` of
Liu et al.), which the codes built on it share; that of a recurrent network, `RNNModel`, is in
`layers/official_recurrent.py`. A wide ResNet has the names of our own modules.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darts_engine.layers import official_recurrent
from darts_engine.layers.official_names import COUNTER, PARTS, checked_tensor, parts, tensors
from darts_engine.networks.build import TrainedNetwork
from darts_engine.networks.derived import DerivedCell, Network
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.run.errors import CheckpointError

REMEDY = "is it of a network with the same genotype, channels, cells, stem and classes?"
HEAD = "auxiliary_head."
# A data-parallel network puts WRAPPER before each name; a checkpoint has the state under ENVELOPE.
WRAPPER = "module."
ENVELOPE = "state_dict"


def load_file(network: TrainedNetwork | RecurrentNetwork, path: Path) -> None:
    """Load the weights and running statistics in a file of `torch.save`.

    Only tensors and plain containers are read from it; nothing in it is executed.

    Args:
        network: changed in place, and only if everything fits.
        path: a state dictionary, or a dictionary with one under "state_dict".

    Raises:
        CheckpointError: the file cannot be read, or does not fit; the error names the first key.
    """
    load(network, read_file(path), where=str(path))


def read_file(path: Path) -> dict[str, Any]:
    """The state dictionary in a file, on the CPU.

    Raises:
        CheckpointError: it cannot be read, or holds more than tensors and plain containers; save
            `network.state_dict()` instead.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            f"the weights cannot be read: {error.strerror}", where=str(path)
        ) from None
    except Exception:  # noqa: BLE001  a file of anything may fail in any way
        # torch's own message is left out: it advises to load such a file without this check.
        raise CheckpointError(
            "the weights cannot be loaded: this is no file of tensors, or it is broken",
            where=str(path),
            remedy="give a file of torch.save(network.state_dict(), FILE): tensors only",
        ) from None
    if isinstance(state, dict) and isinstance(state.get(ENVELOPE), dict):
        state = state[ENVELOPE]
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise CheckpointError("the file holds no state dictionary", where=str(path))
    return {key.removeprefix(WRAPPER): value for key, value in state.items()}


def load(
    network: TrainedNetwork | RecurrentNetwork, state: Mapping[str, object], where: str = ""
) -> None:
    """Load weights and running statistics.

    Args:
        network: changed in place, and only if everything fits.
        state: tensors by name. `num_batches_tracked` may be there or not, and so may the auxiliary
            head where the network has none.
        where: the file, for messages.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape; the first is named.
    """
    if isinstance(network, RecurrentNetwork):
        official_recurrent.load(network, state, where)
        return
    own = network.state_dict()
    known = dict(_names(network))
    has_head = any(key.startswith(HEAD) for key in known)
    place = f"{where}: " if where else ""
    for key in state:
        is_spare = key.rpartition(".")[2] == COUNTER or (key.startswith(HEAD) and not has_head)
        if key not in known and not is_spare:
            raise CheckpointError(
                "the weights have a key too many", where=f"{place}{key}", remedy=REMEDY
            )
    chosen: dict[str, Tensor] = {}
    for theirs, ours in known.items():
        remedy = REMEDY
        if theirs.startswith(HEAD) and theirs not in state:
            remedy = "they are of a network without an auxiliary head: add --no-auxiliary"
        try:
            chosen[ours] = checked_tensor(state, theirs, own[ours], remedy)
        except CheckpointError as error:
            raise CheckpointError(error.what, where=f"{place}{theirs}", remedy=remedy) from None
    with torch.no_grad():
        for ours, value in chosen.items():
            own[ours].copy_(value)


def export(network: TrainedNetwork | RecurrentNetwork) -> dict[str, Tensor]:
    """The weights and running statistics, copied to the CPU, in the layout that `load` reads."""
    if isinstance(network, RecurrentNetwork):
        return official_recurrent.export(network)
    state = network.state_dict()
    return {
        theirs: state[ours].detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for theirs, ours in _names(network)
    }


def _names(network: TrainedNetwork) -> Iterator[tuple[str, str]]:
    """(official name, our name) of everything in the layout."""
    if not isinstance(network, Network):
        yield from ((key, key) for key in network.state_dict() if not key.endswith(COUNTER))
        return
    if network.stem1 is None:
        yield from tensors(network.stem, "stem", "stem")
    else:
        yield from tensors(network.stem, "stem0", "stem")
        yield from tensors(network.stem1, "stem1", "stem1")
    for layer, cell in enumerate(network.cells):
        assert isinstance(cell, DerivedCell)
        here = f"cells.{layer}"
        for name in ("preprocess0", "preprocess1"):
            yield from parts(cell.get_submodule(name), f"{here}.{name}", f"{here}.{name}")
        for place, operation in enumerate(cell.operations):
            # Poolings and identities have no tensors; ours keep their ReLU outside.
            if isinstance(operation, nn.Sequential) and type(operation[1]) in PARTS:
                ours = f"{here}.operations.{place}.1"
                yield from parts(operation[1], f"{here}._ops.{place}", ours)
    if network.auxiliary is not None:
        for theirs, ours in (("2", "reduce"), ("3", "reduce_norm"), ("5", "expand"),
                             ("6", "expand_norm")):  # fmt: skip
            module = network.auxiliary.get_submodule(ours)
            yield from tensors(module, f"{HEAD}features.{theirs}", f"auxiliary.{ours}")
        classifier = network.auxiliary.classifier
        yield from tensors(classifier, f"{HEAD}classifier", "auxiliary.classifier")
    yield from tensors(network.classifier, "classifier", "classifier")
