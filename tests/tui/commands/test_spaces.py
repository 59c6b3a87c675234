"""darts-tui spaces: the descriptions agree with what the engine builds."""

import json
import re

import pytest

from darts_engine.run.architecture.spaces import SPECS, TEXT
from darts_engine.run.settings import catalog
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_tui.cli.methods import complete_method, complete_space


def test_every_space_is_listed_and_explained(darts):
    found = json.loads(darts("spaces", "--json").out)
    assert [one["name"] for one in found] == list(catalog.SPACES)
    output = darts("spaces", "s1").out
    assert "405,146 parameters" in output
    assert "each edge has 2 of its own" in output
    assert "s4 " in darts("spaces").out


def test_each_kind_of_cell_is_described(darts):
    output = darts("spaces", "1shot1-2").out
    assert "4 nodes take 1, 1, 2, 2 of the states before them, the output 3" in output
    assert "26 alphas" in output
    assert "(each node)" in output
    assert "30 alphas" in darts("spaces", "nasbench201").out
    output = darts("spaces", "recurrent").out
    assert "8 nodes and 36 edges, each node keeps one" in output
    assert "300 wide, 10,000 tokens: 4,810,000 parameters, 180 alphas" in output
    assert "begins with --dataset verses, --batch-size 32, --epochs 5, --bptt 12," in output
    assert "begins with" not in darts("spaces", "darts").out
    output = darts("spaces", "nasnet-like").out
    assert "5 nodes and 20 edges in each" in output
    assert "--nodes" in output


def test_the_help_has_the_defaults_that_a_run_on_text_takes(darts):
    for command, default in (("search", "12"), ("train", "35")):
        shown = " ".join(darts(command, "--help").out.replace("│", " ").split())
        after = shown[shown.index("--bptt") :]
        assert re.search(r"default: \(?(\d+)", after)[1] == default


@pytest.mark.parametrize("name", SPECS)
def test_the_description_of_a_space_is_what_the_engine_builds(name):
    spec = SPECS[name]
    on_text = spec.reads == TEXT
    size = {"space.channels": spec.channels, "space.layers": spec.layers}
    size = {"text.width": spec.channels} if on_text else size
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
    supernet = space.supernet(3, 10_000 if on_text else 10)
    assert sum(weight.numel() for weight in supernet.weights()) == spec.parameters
    alphas = sum(matrix.numel() for matrix in supernet.alphas.matrices().values())
    assert alphas == spec.alphas


def test_an_unknown_space_names_the_nearest(darts):
    result = darts("spaces", "dart")
    assert (result.code, result.error_lines[-1]) == (5, "did you mean 'darts'?")


def test_the_shell_completes_names():
    assert complete_method("ms") == ["ms-darts"]
    assert complete_space("s") == [name for name in catalog.SPACES if name.startswith("s")]
