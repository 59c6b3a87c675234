"""darts-tui spaces: what is told of them is what the engine builds."""

import json

import pytest

from darts_engine.run.architecture.spaces import SPECS
from darts_engine.run.settings import catalog
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_tui.cli.methods import complete_method, complete_space


def test_every_space_is_listed_and_explained(darts):
    found = json.loads(darts("spaces", "--json").out)
    assert [one["name"] for one in found] == list(catalog.SPACES)
    said = darts("spaces", "s1").out
    assert "405,146 parameters" in said
    assert "each edge has 2 of its own" in said
    assert "s4 " in darts("spaces").out


def test_how_a_cell_is_built_is_told_of_each_kind(darts):
    said = darts("spaces", "1shot1-2").out
    assert "4 nodes take 1, 1, 2, 2 of the states before them, the output 3" in said
    assert "26 alphas" in said
    assert "(each node)" in said
    assert "30 alphas" in darts("spaces", "nasbench201").out
    said = darts("spaces", "nasnet-like").out
    assert "5 nodes and 20 edges in each" in said
    assert "--nodes" in said


@pytest.mark.parametrize("name", SPECS)
def test_what_is_told_of_a_space_is_what_the_engine_builds(name):
    spec = SPECS[name]
    size = {"space.channels": spec.channels, "space.layers": spec.layers}
    asked = {"space.space": name, "space.nodes": spec.nodes, **size}
    made = configs.override(SearchConfig(), asked)
    space = catalog.resolve("space", catalog.SPACES, name)(made)
    layout = space.layout()
    assert tuple(cell.name for cell in layout) == spec.cells
    if spec.parents:
        assert [len(cell.edges) for cell in layout] == [spec.nodes, len(spec.choices)]
    else:
        assert {len(cell.edges) for cell in layout} == {spec.edges}
    named = [cell.operations for cell in layout if cell.shows != "parents"]
    assert {name for names in named for name in names} == set(spec.candidates)
    supernet = space.supernet(3, 10)
    assert sum(weight.numel() for weight in supernet.weights()) == spec.parameters
    alphas = sum(matrix.numel() for matrix in supernet.alphas.matrices().values())
    assert alphas == spec.alphas


def test_an_unknown_space_names_the_nearest(darts):
    said = darts("spaces", "dart")
    assert (said.code, said.error_lines[-1]) == (5, "did you mean 'darts'?")


def test_the_shell_completes_names():
    assert complete_method("ms") == ["ms-darts"]
    assert complete_space("s") == [name for name in catalog.SPACES if name.startswith("s")]
