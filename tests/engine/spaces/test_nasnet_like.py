"""The NASNet-like space: loose ends are the output, and NASNet's own cells lie in it."""

import pytest
import torch

from darts_engine.networks.derived import Network
from darts_engine.run.architecture.derivation import with_loose_ends
from darts_engine.run.architecture.genotype import CELLS
from darts_engine.run.architecture.spaces import SPECS
from darts_engine.run.architecture.text import published
from darts_engine.run.settings import catalog
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.spaces.darts import row_of
from darts_engine.spaces.nasnet import NASNetLike

NAMES = ("NASNet", "AmoebaNet")


def space_of(**changes: object) -> NASNetLike:
    asked = {"space.space": "nasnet-like", "space.channels": 4, "space.layers": 3} | changes
    made = catalog.resolve("space", catalog.SPACES, "nasnet-like")(
        configs.override(SearchConfig(), asked)
    )
    assert isinstance(made, NASNetLike)
    return made


def test_its_candidates_are_the_operations_of_the_published_cells():
    used = {
        edge.operation
        for name in NAMES
        for cell in CELLS
        for edge in published()[name].genotype.edges(cell)
    }
    assert used | {"none"} == set(SPECS["nasnet-like"].candidates)


def test_alphas_that_say_so_derive_amoebanets_normal_cell_with_its_published_output():
    cell = published()["AmoebaNet"].genotype
    space = space_of(**{"method.derivation": "joint"})
    matrices = {c: torch.zeros(20, 8) for c in CELLS}
    names = list(SPECS["nasnet-like"].candidates)
    for kind in CELLS:
        for edge in cell.edges(kind):
            matrices[kind][row_of(edge.input, edge.node), names.index(edge.operation)] = 1.0
    derived = space.derive(matrices)
    for kind in CELLS:
        assert sorted(derived.edges(kind)) == sorted(cell.edges(kind))
        assert derived.cell(kind)[1] == cell.cell(kind)[1]


def test_a_published_output_is_its_loose_ends():
    cell = published()["AmoebaNet"].genotype
    assert with_loose_ends(cell) == cell


@pytest.mark.slow
def test_any_number_of_nodes_searches_and_trains():
    for nodes in (1, 2, 7):
        space = space_of(**{"space.nodes": nodes})
        supernet = space.supernet(1, 10)
        assert supernet(torch.randn(2, 1, 8, 8)).shape == (2, 10)
        genotype = space.derive(supernet.alphas.mixing())
        network = Network(genotype, channels=4, layers=3, in_channels=1)
        assert network(torch.randn(2, 1, 8, 8))[0].shape == (2, 10)
        assert genotype.nodes("normal") == nodes
