"""darts-tui spaces: what is told of them is what the engine builds."""

import json

import pytest

from darts_engine.run import catalog
from darts_engine.run import config as configs
from darts_engine.run.config import SearchConfig
from darts_engine.run.spaces import FACTS
from darts_tui.cli_methods import complete_method, complete_space


def test_every_space_is_listed_and_explained(darts):
    found = json.loads(darts("spaces", "--json").out)
    assert [one["name"] for one in found] == list(catalog.SPACES)
    said = darts("spaces", "s1").out
    assert "405,146 parameters" in said
    assert "each edge has 2 of its own" in said
    assert "s4 " in darts("spaces").out


@pytest.mark.parametrize("name", FACTS)
def test_what_is_told_of_a_space_is_what_the_engine_builds(name):
    facts = FACTS[name]
    size = {"space.channels": facts.channels, "space.layers": facts.layers}
    asked = {"space.space": name, "space.nodes": facts.nodes, **size}
    made = configs.override(SearchConfig(), asked)
    space = catalog.resolve("space", catalog.SPACES, name)(made)
    layout = space.layout()
    assert tuple(cell.name for cell in layout) == facts.cells
    rows = [(facts.nodes, len(facts.choices))] if facts.parents else [(facts.edges,) * len(layout)]
    assert [tuple(len(cell.edges) for cell in layout)] == rows
    chosen = [cell for cell in layout if cell.shows != "parents"]
    assert {name for cell in chosen for name in cell.operations} == set(facts.candidates)
    supernet = space.supernet(3, 10)
    assert sum(weight.numel() for weight in supernet.weights()) == facts.parameters
    alphas = sum(matrix.numel() for matrix in supernet.alphas.matrices().values())
    assert alphas == facts.alphas


def test_an_unknown_space_names_the_nearest(darts):
    said = darts("spaces", "dart")
    assert (said.code, said.complaint[-1]) == (5, "did you mean 'darts'?")


def test_the_shell_completes_names():
    assert complete_method("ms") == ["ms-darts"]
    assert complete_space("s") == [name for name in catalog.SPACES if name.startswith("s")]
