"""The discretisation gap: what the supernet loses when it is cut to the genotype it would give.

Zela et al., 2020, arXiv 1909.09656, section 4: the kept operations of the kept edges get weight 1,
all others 0, and the network keeps its weights. Batch norm's running statistics belong to the
mixture, so the cut network is also measured with statistics of its own, which tells a lost scale
from a lost architecture. E edges, O operations.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from darts_engine.chance import Chance
from darts_engine.mixing import Mixing
from darts_engine.run.genotype import CELLS, Genotype
from darts_engine.search_cell import Design

# Batches of training images that renew the running statistics.
RENEWING = 20


def cut(design: Design, genotype: Genotype, like: Tensor) -> Mixing:
    """The mixing that computes the genotype alone.

    Args:
        design: names the candidates.
        genotype: what is kept; of the same cells.
        like: gives device and type.

    Returns:
        Weights (E, O) of 0 and 1, and shares (E,) that leave out the other edges' channels too.
    """
    weights, shares, active = {}, {}, {}
    for cell in CELLS:
        names = design.of(cell)
        columns: list[set[int]] = [set() for _ in names]
        for edge in genotype.edges(cell):
            row = row_of(edge.input, edge.node)
            columns[row].add(names[row].index(edge.operation))
        weights[cell] = like.new_tensor(
            [[float(o in kept) for o in range(len(names[0]))] for kept in columns]
        )
        shares[cell] = like.new_tensor([float(bool(kept)) for kept in columns])
        active[cell] = [tuple(sorted(kept)) for kept in columns]
    return Mixing(weights, shares, active)


def row_of(source: int, node: int) -> int:
    """The row of alpha of the edge from a state to a node, both counted with the two inputs."""
    return (node - 2) * (node + 1) // 2 + source


@contextmanager
def without_helpers(chance: Chance) -> Iterator[None]:
    """No auxiliary skips for a while: a derived network has none."""
    was, chance.auxiliary = chance.auxiliary, 0.0
    try:
        yield
    finally:
        chance.auxiliary = was


@contextmanager
def renewed_statistics(network: nn.Module, passes: Callable[[], None]) -> Iterator[None]:
    """Running statistics for a while that are the mean over some passes in training mode.

    Args:
        network: comes back as it was.
        passes: runs it some times.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [{name: b.clone() for name, b in norm.named_buffers()} for norm in norms]
    momenta, was = [norm.momentum for norm in norms], network.training
    try:
        network.train()
        with torch.no_grad():
            for count in range(RENEWING):
                for norm in norms:
                    norm.momentum = 1 / (count + 1)
                passes()
        network.eval()
        yield
    finally:
        for norm, buffers, momentum in zip(norms, before, momenta, strict=True):
            norm.momentum = momentum
            for name, buffer in norm.named_buffers():
                buffer.copy_(buffers[name])
        network.train(was)
