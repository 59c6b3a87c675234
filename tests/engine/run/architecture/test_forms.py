"""Every published genotype through every pair of forms and back; what a form cannot hold."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from effort import times
from hypothesis import given, settings
from hypothesis import strategies as st

from darts_engine.run.architecture.derivation import DARTS_OPERATIONS
from darts_engine.run.architecture.forms import nasbench201
from darts_engine.run.architecture.forms.table import FORMS, write
from darts_engine.run.architecture.genotype import NASBENCH201, RECURRENT, Genotype
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS
from darts_engine.run.architecture.text import parse, published
from darts_engine.run.errors import ConfigError, GenotypeError

CELL_201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_3x3~1|skip_connect~2|"
CELLS = {name: entry.genotype for name, entry in published().items()} | {"201": parse(CELL_201)}
OF_TWO_CELLS = {"nni", "nni-hub", "nasbench301", "compact", "mmrazor", "nested"}
OF_201 = {"nb201", "nb201-indices"}
# What of a published cell each form has no place for, by its own word.
REFUSED: dict[str, dict[str, str]] = {
    "NASNet": {
        **dict.fromkeys(("nni", "nasbench301", "compact", "mmrazor"), "operation sep_conv_7x7"),
        "nni-hub": "joins all nodes",
    },
    "AmoebaNet": {
        **dict.fromkeys(("nni", "nasbench301", "compact", "mmrazor"), "operation sep_conv_7x7"),
        "nni-hub": "joins all nodes",
    },
    "ENASNet": {
        **dict.fromkeys(("nni", "mmrazor"), "one operation per edge"),
        **dict.fromkeys(("nasbench301", "compact"), "4 nodes, not 5"),
    },
    "FairDARTS_a": dict.fromkeys(
        ("nni-hub", "nasbench301", "compact", "mmrazor"), "2 inputs of every node"
    ),
}


def sets(genotype: Genotype) -> Any:
    """A genotype without the order of a node's inputs."""
    cells = {}
    for cell in genotype.cells:
        edges = genotype.edges(cell)
        _, concat = genotype.cell(cell)
        nodes = {
            node: sorted(e for e in edges if e.node == node) for node in {e.node for e in edges}
        }
        cells[cell] = nodes, sorted(concat)
    return genotype.form, cells


def held_by(name: str) -> set[str]:
    """The forms that hold a genotype of `CELLS`."""
    match CELLS[name].form:
        case "nasbench201":
            return {"text", "json"} | OF_201
        case "recurrent":
            return {"text", "json"}
    return {"text", "json"} | OF_TWO_CELLS - REFUSED.get(name, {}).keys()


@pytest.mark.parametrize("name", CELLS)
def test_a_published_genotype_goes_through_every_pair_of_forms_and_back(name: str) -> None:
    cell, held = CELLS[name], held_by(name)
    for first in held:
        once = parse(write(cell, first))
        assert sets(once) == sets(cell), first
        for second in held:
            assert sets(parse(write(once, second))) == sets(cell), (first, second)


@pytest.mark.parametrize("name", CELLS)
def test_what_a_form_cannot_hold_is_refused_by_name(name: str) -> None:
    held = held_by(name)
    for form in FORMS.keys() - held:
        with pytest.raises(GenotypeError) as refusal:
            write(CELLS[name], form)
        assert form in refusal.value.what
        assert REFUSED.get(name, {}).get(form, "no place for a cell of") in refusal.value.what


def test_an_unknown_form_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no form 'yaml'.*\n.*nb201-indices"):
        write(CELLS["DARTS_V2"], "yaml")


def test_every_form_is_told_apart_from_the_others_by_its_text_alone() -> None:
    names = {"nb201": "201", "nb201-indices": "201"}
    texts = {form: write(CELLS[names.get(form, "DARTS_V2")], form) for form in FORMS}
    assert len(set(texts.values())) == len(FORMS)
    assert texts["text"].startswith("Genotype(normal=[('sep_conv_3x3', 0), ")
    assert texts["nested"].startswith("Genotype(normal=[[('sep_conv_3x3', 0), ")
    assert texts["nb201-indices"] == "naslib:[2, 1, 4, 0, 2, 0]"


# The made-up cell of the field's description, edge by edge.
E = [("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 0), ("dil_conv_5x5", 2)]
E += [("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("avg_pool_3x3", 0), ("max_pool_3x3", 4)]
R = "range(2, 6)"
TEXT_E = f"Genotype(normal={E}, normal_concat={R}, reduce={E}, reduce_concat={R})"


def test_the_forms_are_as_their_own_programs_write_them() -> None:
    cell = parse(TEXT_E)
    prefix = "NetworkSelectorDatasetInfo:darts:"
    space = json.loads(write(cell, "nasbench301"))
    assert {key.removeprefix(prefix): value for key, value in space.items() if "normal" in key} == {
        "edge_normal_0": "sep_conv_3x3",
        "edge_normal_1": "sep_conv_3x3",
        "edge_normal_2": "skip_connect",
        "edge_normal_4": "dil_conv_5x5",
        "edge_normal_5": "sep_conv_3x3",
        "edge_normal_6": "sep_conv_3x3",
        "edge_normal_9": "avg_pool_3x3",
        "edge_normal_13": "max_pool_3x3",
        "inputs_node_normal_3": "0_2",
        "inputs_node_normal_4": "0_1",
        "inputs_node_normal_5": "0_4",
    }
    pairs = "((0, 3), (1, 3), (0, 2), (2, 6), (0, 3), (1, 3), (0, 1), (4, 0))"
    assert write(cell, "compact") == f"({pairs}, {pairs})"
    hub = json.loads(write(cell, "nni-hub"))
    assert len(hub) == 32
    assert (hub["normal/op_3_1"], hub["reduce/input_3_1"]) == ("dil_conv_5x5", [2])
    razor = write(cell, "mmrazor")
    assert razor.count("chosen:") == 24
    assert razor.startswith(
        "normal_n2:\n  chosen:\n  - normal_n2_p0\n  - normal_n2_p1\n"
        "normal_n2_p0:\n  chosen:\n  - sep_conv_3x3\n"
    )


def test_indices_follow_the_orders_of_the_table_that_they_name() -> None:
    cell = parse(CELL_201)
    assert nasbench201.write_indices(cell) == "naslib:[2, 1, 4, 0, 2, 0]"
    assert nasbench201.write_indices(cell, "autodl") == "autodl:[3, 0, 1, 4, 3, 1]"
    for text in ("naslib:[2, 1, 4, 0, 2, 0]", "NASLib (2,1,4,0,2,0)", "autodl:[3,0,1,4,3,1]"):
        assert parse(text) == cell
    for text, part in (
        ("[2, 1, 4, 0, 2, 0]", "with the name of their table"),
        ("(2, 1, 4, 0, 2, 0)", "with the name of their table"),
        ("naslib:[2, 1, 4, 0, 2]", "six indices, not 5"),
        ("naslib:[2, 1, 4, 0, 2, 5]", "no operation 5 in the table naslib"),
    ):
        with pytest.raises(GenotypeError, match=part):
            parse(text)


OPERATIONS = st.sampled_from([*DARTS_OPERATIONS, "sep_conv_7x7"])


@st.composite
def two_cells(draw: st.DrawFn) -> Genotype:
    """A genotype of one to five nodes; two inputs for each, or any number."""
    parts: dict[str, Any] = {}
    for cell in ("normal", "reduce"):
        nodes = draw(st.integers(1, 5) | st.just(4))
        edges: list[tuple[Any, ...]] = []
        is_published = draw(st.booleans())
        for node in range(2, 2 + nodes):
            sources = st.lists(
                st.integers(0, node - 1),
                min_size=2 if is_published else 0,
                max_size=2 if is_published else 3,
            )
            for source in draw(sources):
                name = draw(OPERATIONS)
                edges.append((name, source) if is_published else (name, node, source))
        if not edges:
            edges = [("none", 2, 0)]
        every = list(range(2, 2 + nodes))
        concat = draw(st.just(every) | st.lists(st.sampled_from(every), min_size=1, unique=True))
        parts |= {cell: tuple(edges), f"{cell}_concat": tuple(sorted({*concat, every[-1]}))}
    return Genotype(**parts)


@st.composite
def cells_201(draw: st.DrawFn) -> Genotype:
    names = draw(st.lists(st.sampled_from(NASBENCH201_OPERATIONS), min_size=6, max_size=6))
    places = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
    parts = tuple((name, *place) for name, place in zip(names, places, strict=True))
    return Genotype(parts, (3,), form=NASBENCH201)


@st.composite
def chains(draw: st.DrawFn) -> Genotype:
    names = draw(st.lists(st.sampled_from(["tanh", "relu"]), min_size=1, max_size=9))
    parts = tuple((n, k, draw(st.integers(0, k - 1))) for k, n in enumerate(names, 1))
    return Genotype(parts, tuple(range(1, len(names) + 1)), form=RECURRENT)


@settings(max_examples=times(200, full=5_000), deadline=None)
@given(two_cells() | cells_201() | chains())
def test_whatever_a_form_writes_is_read_as_the_same(cell: Genotype) -> None:
    assert parse(write(cell, "text")) == cell == parse(write(cell, "json"))
    for form in FORMS:
        with contextlib.suppress(GenotypeError):
            assert sets(parse(write(cell, form))) == sets(cell), form


def test_a_file_of_each_form_gives_the_same_cell(tmp_path: Path) -> None:
    for form in OF_TWO_CELLS:
        text = write(CELLS["PDARTS"], form)
        for wrapped in (f"\ufeff{text}\n", f"  {text}\n\n", f"```\n{text}\n```"):
            assert sets(parse(wrapped)) == sets(CELLS["PDARTS"]), form
