"""Genotypes: three written forms, one value, and nothing evaluated."""

import contextlib
import json
from pathlib import Path

import msgspec
import pytest
from effort import times
from hypothesis import given, settings
from hypothesis import strategies as st

from darts_engine.run.architecture.forms import nni_legacy
from darts_engine.run.architecture.genotype import CELLS, NNI_OPERATIONS, Edge, Genotype
from darts_engine.run.architecture.text import MAX_TEXT, from_json, parse, published
from darts_engine.run.errors import GenotypeError

PUBLISHED = {name: entry.genotype for name, entry in published().items()}
NORMAL = "normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2]"
REDUCE = "reduce=[('skip_connect', 0), ('skip_connect', 1)], reduce_concat=[2]"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_cells_survive_text_and_json(name: str) -> None:
    cell = PUBLISHED[name]
    assert parse(cell.text()) == cell
    assert parse(json.dumps(cell.to_json())) == cell
    assert msgspec.json.decode(msgspec.json.encode(cell), type=Genotype) == cell
    assert from_json({"genotype": cell.to_json(), "parameters": 1}) == cell


# NNI has no word for one of their operations, or they have two operations on one edge, or no cell
# for images.
BEYOND_NNI = {"NASNet", "AmoebaNet", "ENASNet"} | {n for n in PUBLISHED if n.startswith("RNN_")}


@pytest.mark.parametrize("name", sorted(BEYOND_NNI))
def test_cells_that_nni_cannot_say_are_refused(name: str) -> None:
    with pytest.raises(GenotypeError):
        nni_legacy.write(PUBLISHED[name])


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - BEYOND_NNI))
def test_published_cells_survive_nni(name: str) -> None:
    cell = PUBLISHED[name]
    written = nni_legacy.write(cell)
    again = parse(json.dumps(written))
    for kind in CELLS:
        assert again.edges(kind) == cell.edges(kind)
    assert nni_legacy.write(again) == written


def test_the_nni_form_of_darts_v2_is_read_as_published() -> None:
    chosen = {
        "normal": ["sepconv3x3 0 sepconv3x3 1", "sepconv3x3 0 sepconv3x3 1",
                   "sepconv3x3 1 skipconnect 0", "skipconnect 0 dilconv3x3 2"],
        "reduce": ["maxpool 0 maxpool 1", "skipconnect 2 maxpool 1",
                   "maxpool 0 skipconnect 2", "skipconnect 2 maxpool 1"],
    }  # fmt: skip
    document: dict[str, object] = {}
    for cell, nodes in chosen.items():
        for node, words in enumerate(map(str.split, nodes), start=2):
            document |= {f"{cell}_n{node}_p{j}": [] for j in range(node)}
            for operation, source in (words[:2], words[2:]):
                document[f"{cell}_n{node}_p{source}"] = operation
            document[f"{cell}_n{node}_switch"] = [f"{cell}_n{node}_p{j}" for j in words[1::2]]
    assert from_json(document) == PUBLISHED["DARTS_V2"]

    # Files exist with an operation on an edge that the switch leaves out: it does not count.
    document["normal_n5_p4"] = "sepconv5x5"
    assert from_json(document) == PUBLISHED["DARTS_V2"]


def test_three_part_edges_let_a_node_have_any_number_of_inputs() -> None:
    cell = PUBLISHED["FairDARTS_a"]
    assert all(len(part) == 3 for part in cell.normal)
    assert parse(f"Genotype({NORMAL}, {REDUCE})").edges("normal") == [
        Edge("skip_connect", 2, 0),
        Edge("skip_connect", 2, 1),
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"genotype = Genotype({NORMAL}, {REDUCE})",
        f"Genotype({NORMAL}, {REDUCE})".replace("[2]", "range(2, 3)"),
        f"Genotype({NORMAL}, {REDUCE})".replace("[2]", "list(range(2, 3))"),
        f"Genotype({NORMAL}, {REDUCE})".replace("=[2]", "=(2,)"),
    ],
)
def test_the_ways_papers_write_it_are_read(text: str) -> None:
    assert parse(text) == parse(f"Genotype({NORMAL}, {REDUCE})")


HOSTILE = [
    "",
    f"Genotype(normal=[('a', 0x{'f' * 20_000})], normal_concat=[2], {REDUCE})",
    "__import__('os').system('touch PROOF')",
    f"Genotype(__import__('os').system('touch PROOF'), {REDUCE})",
    f"Genotype(normal=[(open('PROOF', 'w'), 0)], normal_concat=[2], {REDUCE})",
    f"Genotype(**__import__('os').environ, {REDUCE})",
    f"Genotype(*[1, 2], {REDUCE})",
    f"Genotype({NORMAL}, {REDUCE}); open('PROOF', 'w')",
    f"Genotype({NORMAL}, {REDUCE}, {REDUCE})",
    f"Genotype({NORMAL}, {REDUCE})" + ".text" * 900,
    f"Genotype({NORMAL}, reduce={'1+' * 900}1)",
    f"Genotype({NORMAL}, reduce={'-' * 5000}1)",
    f"Genotype({NORMAL}, reduce={'[' * 150}{']' * 150})",
    f"Genotype({NORMAL}, {REDUCE})".replace("[2]", f"range({'9' * 30})"),
    f"Genotype({NORMAL}, {REDUCE})".replace("[2]", f"range(-{'9' * 30}, 3)"),
    f"Genotype({NORMAL}, {REDUCE})".replace("[2]", "range(2, 9**9)"),
    f"Genotype({NORMAL}, {REDUCE})".replace("1)", f"{'9' * 5000})"),
    f"Genotype({NORMAL}, {REDUCE})".replace("1)", "True)"),
    f"Genotype({NORMAL}, {REDUCE})".replace("1)", "2)"),
    f"Genotype({NORMAL}, {REDUCE})".replace("'skip_connect'", r"'skip\n'"),
    f"Genotype({NORMAL}, {REDUCE})".replace("skip_connect", "\x1b[31mskip"),
    f"Genotype({NORMAL}, {REDUCE})".replace("skip_connect", r"\d"),
    f"Genotype({NORMAL}, {REDUCE})\ud800",
    "\0Genotype()",
    "x" * (MAX_TEXT + 1),
    "{",
    '{"normal": %s' % ("[" * 50_000),
    '{"normal": [["skip_connect", 1e999]], "reduce": []}',
    '{"normal": [[]], "reduce": []}',
    '{"normal_n2_p0": [], "normal_n2_switch": ["normal_n2_p0"]}',
    '{"normal_n%s_switch": []}' % ("1" * 5000),
    '{"normal_n٣_switch": []}',
    '{"normal_n2_switch": [["normal_n2_p0"]]}',
    '{"normal_n2_p0": "conv7x7", "normal_n2_switch": ["normal_n2_p0"]}',
    '{"normal_n2_p0": "maxpool", "normal_n2_switch": ["normal_n3_p0"]}',
    '{"normal_n2_p5": "maxpool", "normal_n2_switch": ["normal_n2_p5"]}',
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:40])
def test_hostile_text_is_refused_and_never_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GenotypeError) as refusal:
        parse(text)
    assert str(refusal.value).count("\n") <= 2
    assert len(str(refusal.value)) < 500
    assert list(tmp_path.iterdir()) == []


VALID = f"Genotype({NORMAL}, {REDUCE})"
PIECES = st.sampled_from(
    ["Genotype", "normal", "=", "(", ")", "[", "]", ",", "'", '"', "range", "**", "lambda:", "{",
     "}", "-", "~", "9" * 40, "2", "skip_connect", "\\", "\n", "#", "f'", "@", ":", ":=", "await "]
)  # fmt: skip


def _parse_or_refuse(text: str) -> None:
    with contextlib.suppress(GenotypeError):
        assert parse(parse(text).text()) == parse(text)


@settings(max_examples=times(300, full=10_000), deadline=None)
@given(st.text() | st.lists(PIECES).map("".join))
def test_parse_raises_nothing_but_its_own_error(text: str) -> None:
    _parse_or_refuse(text)


@settings(max_examples=times(300, full=10_000), deadline=None)
@given(st.integers(0, len(VALID)), st.integers(0, 12), st.lists(PIECES, max_size=3).map("".join))
def test_nor_does_it_on_text_that_is_nearly_right(at: int, drop: int, insert: str) -> None:
    _parse_or_refuse(VALID[:at] + insert + VALID[at + drop :])


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(LEAVES | st.sampled_from(list(NNI_OPERATIONS)), st.lists, max_leaves=12)
KEYS = st.sampled_from(
    [*Genotype.__struct_fields__, "genotype", "normal_n2_p0", "normal_n2_switch",
     "reduce_n2_switch", "reduce_n3_p1", "normal_n63_switch"]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=times(300, full=2_000), deadline=None)
@given(st.dictionaries(KEYS, VALUES))
def test_nor_does_json_of_any_shape(value: dict[str, object]) -> None:
    with contextlib.suppress(GenotypeError):
        from_json(value)
