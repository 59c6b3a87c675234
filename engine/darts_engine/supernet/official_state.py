"""Read and write the weights of a supernet in the layout of the official DARTS code.

In that layout every edge has batch norms of its own after its poolings. Here all edges out of a
state share one (`source.Source`), whose batches are the same; `export` copies its running
statistics to each edge. The layout has no alphas: the official code keeps them outside.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from darts_engine.layers.official_names import COUNTER, checked_tensor, parts, tensors
from darts_engine.layers.operations import AVG_POOL, MAX_POOL
from darts_engine.run.errors import CheckpointError
from darts_engine.supernet.cell import SearchCell
from darts_engine.supernet.edge import MixedEdge
from darts_engine.supernet.supernet import Supernet

REMEDY = "is it of a supernet with the same channels, cells, nodes and classes?"

# The shared batch norm of each pooling.
POOLS = {MAX_POOL: "max_norm", AVG_POOL: "avg_norm"}


def export(supernet: Supernet) -> dict[str, Tensor]:
    """A copy of the weights and running statistics, under the official names and in their order.

    As in the published layout there is no `num_batches_tracked`; no output depends on it.
    """
    state = supernet.state_dict()
    return {
        theirs: state[ours].clone(memory_format=torch.contiguous_format)
        for theirs, ours in _names(supernet)
    }


def load(
    supernet: Supernet,
    state: Mapping[str, Tensor],
    alphas: Mapping[str, Tensor] | Sequence[Tensor] | None = None,
) -> None:
    """Load weights and running statistics in the official layout, and alphas if given.

    Args:
        supernet: changed in place, and only if everything fits.
        state: tensors by official name; `num_batches_tracked` may be there or not.
        alphas: raw (E, O) matrices: by cell name, or normal before reduce.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape (the error names the first),
            or edges out of one state have different statistics of one pooling. No search writes
            such a state: check which network it is of.
    """
    own = supernet.state_dict()
    names = list(_names(supernet))
    matrices = _by_cell(alphas, own)
    known = {theirs for theirs, _ in names}
    for key in state:
        if key not in known and key.rpartition(".")[2] != COUNTER:
            raise CheckpointError("the weights have a key too many", where=key, remedy=REMEDY)
    chosen: dict[str, tuple[str, Tensor]] = {}
    for theirs, ours in names:
        value = checked_tensor(state, theirs, own[ours], REMEDY)
        first, kept = chosen.setdefault(ours, (theirs, value))
        if not torch.allclose(kept, value, rtol=1e-3, atol=1e-6):
            raise CheckpointError(
                "two edges of one state have different statistics of the same pooling",
                where=f"{first} and {theirs}",
                remedy="they see the same batches, so in the weights of a search they are equal",
            )
    with torch.no_grad():
        for ours, (_, value) in chosen.items():
            own[ours].copy_(value)
        for ours, matrix in matrices.items():
            own[ours].copy_(matrix)


def _by_cell(
    alphas: Mapping[str, Tensor] | Sequence[Tensor] | None, own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    if alphas is None:
        return {}
    cells = [name for name in own if name.startswith("alphas.")]
    if isinstance(alphas, Mapping):
        given = {f"alphas.{cell}": matrix for cell, matrix in alphas.items()}
    else:
        given = dict(zip(cells, alphas, strict=False))
    if set(given) != set(cells) or len(alphas) != len(cells):
        raise CheckpointError(
            "the alphas are not those of a normal and a reduction cell",
            where=f"{len(alphas)} given",
            remedy="give (normal, reduce), or a dictionary with these two keys",
        )
    return {name: checked_tensor(given, name, own[name], REMEDY) for name in cells}


def _names(supernet: Supernet) -> Iterator[tuple[str, str]]:
    """(official name, our name) of everything in the layout."""
    yield from tensors(supernet.stem, "stem", "stem")
    for layer, cell in enumerate(supernet.cells):
        assert isinstance(cell, SearchCell)
        here = f"cells.{layer}"
        for name in ("preprocess0", "preprocess1"):
            yield from parts(cell.get_submodule(name), f"{here}.{name}", f"{here}.{name}")
        sources = [source for node in range(cell.nodes) for source in range(node + 2)]
        for edge, source in enumerate(sources):
            yield from _edge(cell, here, edge, source)
    yield from tensors(supernet.classifier, "classifier", "classifier")


def _edge(cell: SearchCell, here: str, edge: int, source: int) -> Iterator[tuple[str, str]]:
    mixed = cell.edges[edge]
    assert isinstance(mixed, MixedEdge)
    for index, name in enumerate(mixed.names):
        theirs = f"{here}._ops.{edge}._ops.{index}"
        if name in POOLS:
            shared = f"sources.{source}.{POOLS[name]}"
            yield from tensors(cell.get_submodule(shared), f"{theirs}.1", f"{here}.{shared}")
        elif name in mixed.weighted:
            ours = f"{here}.edges.{edge}.weighted.{name}"
            yield from parts(mixed.weighted[name], theirs, ours)
