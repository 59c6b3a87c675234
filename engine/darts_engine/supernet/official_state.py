"""Read and write the weights of a supernet in the layout of the official DARTS code.

In that layout every edge has batch norms of its own after its poolings. Here all edges out of a
state share one (`source.Source`) as long as they see the same batches; `export` copies its running
statistics to each edge. In a search that computes only some candidates, as SGAS does on decided
edges and GDAS on all, they see different batches. `load` keeps the statistics of each edge then
(`SearchCell.norm_each_edge`). The layout has no alphas: the official code keeps them outside.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from darts_engine.layers.official_names import COUNTER, checked_tensor, parts, tensors
from darts_engine.run.errors import CheckpointError
from darts_engine.supernet.cell import SearchCell
from darts_engine.supernet.edge import MixedEdge
from darts_engine.supernet.source import POOL_NORMS
from darts_engine.supernet.supernet import Supernet

REMEDY = "is it of a supernet with the same channels, cells, nodes and classes?"


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

    Where the edges out of a state have different statistics of a pooling (by more than a
    thousandth), each has its own norm after it from then on, also if other weights are loaded
    later. Such a state is computed edge by edge, which is slower. `supernet.state_dict()` then has
    `edges.*.pool_norms.*` in place of `sources.*.max_norm` or `avg_norm`: a supernet with shared
    norms takes it by `export` and `load`, not by `load_state_dict`.

    Args:
        supernet: changed in place, and only if everything fits.
        state: tensors by official name; `num_batches_tracked` may be there or not.
        alphas: raw (E, O) matrices: by cell name, or normal before reduce.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape (the error names the first).
    """
    own = supernet.state_dict()
    names = dict(_names(supernet))
    matrices = _by_cell(alphas, own)
    for key in state:
        if key not in names and str(key).rpartition(".")[2] != COUNTER:
            raise CheckpointError("the weights have a key too many", where=str(key), remedy=REMEDY)
    values = {
        theirs: checked_tensor(state, theirs, own[ours], REMEDY) for theirs, ours in names.items()
    }
    for cell, source, pooling in list(_differing(supernet, values)):
        cell.norm_each_edge(source, pooling)
    chosen: dict[str, Tensor] = {}
    for theirs, ours in _names(supernet):
        chosen.setdefault(ours, values[theirs])
    own = supernet.state_dict()
    with torch.no_grad():
        for ours, value in (chosen | matrices).items():
            own[ours].copy_(value)


def _differing(
    supernet: Supernet, values: Mapping[str, Tensor]
) -> Iterator[tuple[SearchCell, int, str]]:
    """(cell, state, pooling) of every shared norm whose edges have different statistics."""
    for here, cell in _cells(supernet):
        for state, pooling in itertools.product(range(len(cell.leaving)), POOL_NORMS):
            if getattr(cell.sources[state], POOL_NORMS[pooling]) is None:
                continue
            norms = [
                f"{here}._ops.{edge}._ops.{cell.names[edge].index(pooling)}.1"
                for edge in cell.leaving[state]
                if pooling in cell.names[edge]
            ]
            first, *others = [
                torch.stack([values[f"{norm}.running_mean"], values[f"{norm}.running_var"]])
                for norm in norms
            ]
            if not all(torch.allclose(first, other, rtol=1e-3, atol=1e-6) for other in others):
                yield cell, state, pooling


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
    for here, cell in _cells(supernet):
        for name in ("preprocess0", "preprocess1"):
            yield from parts(cell.get_submodule(name), f"{here}.{name}", f"{here}.{name}")
        sources = [source for node in range(cell.nodes) for source in range(node + 2)]
        for edge, source in enumerate(sources):
            yield from _edge(cell, here, edge, source)
    yield from tensors(supernet.classifier, "classifier", "classifier")


def _cells(supernet: Supernet) -> Iterator[tuple[str, SearchCell]]:
    """Every cell and its name, which is the same in both layouts."""
    for layer, cell in enumerate(supernet.cells):
        assert isinstance(cell, SearchCell)
        yield f"cells.{layer}", cell


def _edge(cell: SearchCell, here: str, edge: int, source: int) -> Iterator[tuple[str, str]]:
    mixed = cell.edges[edge]
    assert isinstance(mixed, MixedEdge)
    for index, name in enumerate(mixed.names):
        theirs = f"{here}._ops.{edge}._ops.{index}"
        if name in POOL_NORMS:
            ours = f"sources.{source}.{POOL_NORMS[name]}"
            if name in mixed.pool_norms:
                ours = f"edges.{edge}.pool_norms.{name}"
            yield from tensors(cell.get_submodule(ours), f"{theirs}.1", f"{here}.{ours}")
        elif name in mixed.weighted:
            ours = f"{here}.edges.{edge}.weighted.{name}"
            yield from parts(mixed.weighted[name], theirs, ours)
