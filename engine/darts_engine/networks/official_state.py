"""Read and write the weights of trained networks in the layout of the official code.

A derived network has the layout of the official DARTS code (`NetworkCIFAR` and `NetworkImageNet` of
Liu et al.), which the codes built on it share; that of a recurrent network, `RNNModel`, is in
`layers/official_recurrent.py`. A wide ResNet has the names of our own modules.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from darts_engine.layers import official_recurrent
from darts_engine.layers.official_names import COUNTER, PARTS, checked_tensor, parts, tensors
from darts_engine.networks import weight_file
from darts_engine.networks.build import TrainedNetwork
from darts_engine.networks.derived import DerivedCell, Network
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.run.errors import CheckpointError

REMEDY = "is it of a network with the same genotype, channels, cells, stem and classes?"
HEAD = "auxiliary_head."
# What tools leave in a state beside its tensors: counters of batches, of averaged copies, of costs.
SPARE = (COUNTER, "n_averaged", "total_ops", "total_params")


def load_file(network: TrainedNetwork | RecurrentNetwork, path: Path) -> str:
    """Load the weights and running statistics in a file of `torch.save`.

    Only tensors and plain containers are read from it; nothing in it is executed.

    Args:
        network: changed in place, and only if everything fits.
        path: a state dictionary, or what a trainer wraps around one (`weight_file.py`).

    Returns:
        What it was unwrapped of, as in "under 'model'"; empty if nothing.

    Raises:
        CheckpointError: the file cannot be read, or does not fit; the error names the first key.
    """
    weights = weight_file.read(path)
    load(network, weights.state, where=str(path))
    return weights.unwrapped


def load(
    network: TrainedNetwork | RecurrentNetwork, state: Mapping[str, object], where: str = ""
) -> None:
    """Load weights and running statistics.

    Args:
        network: changed in place, and only if everything fits.
        state: tensors by official name, or by that of our own modules. What is in `SPARE` may be
            there or not, and so may the auxiliary head where the network has none.
        where: the file, for messages.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape; the first is named, with the
            nearest that would fit.
    """
    if isinstance(network, RecurrentNetwork):
        official_recurrent.load(network, state, where)
        return
    own = network.state_dict()
    known = dict(_names(network))
    if own.keys() <= state.keys():
        known = {key: key for key in own}
    has_head = any(key.startswith(HEAD) for key in known)
    place = f"{where}: " if where else ""
    extra = [
        key
        for key in state
        if key not in known
        and key.rpartition(".")[2] not in SPARE
        and (has_head or not key.startswith(HEAD))
    ]
    if extra:
        many = "a key" if len(extra) == 1 else f"{len(extra)} keys"
        raise CheckpointError(
            f"the weights have {many} too many",
            where=f"{place}{extra[0]}",
            remedy=_near(extra[0], known) + REMEDY,
        )
    chosen: dict[str, Tensor] = {}
    for theirs, ours in known.items():
        remedy = REMEDY if theirs in state else _near(theirs, set(state) - set(known)) + REMEDY
        if theirs.startswith(HEAD) and theirs not in state:
            remedy = "they are of a network without an auxiliary head: add --no-auxiliary"
        try:
            chosen[ours] = checked_tensor(state, theirs, own[ours], remedy)
        except CheckpointError as error:
            raise CheckpointError(error.what, where=f"{place}{theirs}", remedy=remedy) from None
    with torch.no_grad():
        for ours, value in chosen.items():
            own[ours].copy_(value)


def _near(key: str, names: Iterable[str]) -> str:
    """Words about the name that is most like a key."""
    near = difflib.get_close_matches(key, list(names), 1)
    return f"the nearest is {near[0]}; " if near else ""


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
