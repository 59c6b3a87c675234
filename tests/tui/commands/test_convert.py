"""Genotypes in every form of the field, wherever one is taken, and in every form given back."""

import contextlib
import io
import json
import sys
import time
from pathlib import Path

import pytest

from darts_engine.run.architecture.forms.table import FORMS
from darts_engine.run.architecture.genotype import RECURRENT
from darts_engine.run.architecture.text import MAX_TEXT, parse, published, read
from darts_engine.run.errors import GenotypeError, NotFoundError
from darts_tui.runs.files import MAX_BYTES
from darts_tui.runs.genotypes import named, resolve

NODES = [
    [("sep_conv_3x3", 0), ("sep_conv_3x3", 1)],
    [("skip_connect", 0), ("dil_conv_5x5", 2)],
    [("sep_conv_5x5", 1), ("sep_conv_3x3", 0)],
    [("avg_pool_3x3", 0), ("max_pool_3x3", 4)],
]
FLAT = [edge for node in NODES for edge in node]
STATES = [2, 3, 4, 5]
PLAIN = (
    f"Genotype(normal={FLAT}, normal_concat=range(2, 6), reduce={FLAT}, reduce_concat=range(2, 6))"
)
THE_CELL = parse(PLAIN)
OTHER = PLAIN.replace("sep_conv_5x5", "dil_conv_3x3")
SCORED = [tuple((name, source, 0.25) for name, source in node) for node in NODES]
MODULE = f"""from collections import namedtuple

Genotype = namedtuple('Genotype', 'normal normal_concat reduce reduce_concat')

PRIMITIVES = ['none', 'max_pool_3x3']

MINE_V1 = {OTHER}

MINE_V2 = Genotype(  # the better one
    normal={FLAT},
    normal_concat=range(2, 6), reduce={FLAT},  # a comment's ( bracket
    reduce_concat=range(2, 6))

SCORED = {{
  # from the paper's own code
  'normal': {SCORED}, 'normal_concat': {STATES}, 'connects': ConnectionFunction,
  'reduce': {SCORED}, 'reduce_concat': {STATES}, 'connectN': None,
}}

MINE = MINE_V2
"""
LOG = (
    "07/08 05:56:53 AM epoch 0 lr 2.5e-02\n"
    f"07/08 05:56:53 AM genotype = {OTHER}\n"
    "07/08 06:56:53 AM epoch 1 lr 2.4e-02\n"
    f"07/08 06:56:53 AM genotype = {PLAIN}\n"
    "07/08 07:00:00 AM valid_acc 88.2\n"
)


def rewritten(text: str, **others: str) -> str:
    for before, after in others.items():
        text = text.replace(before, after)
    return text


WRITTEN = {
    "plain": PLAIN,
    "nested": PLAIN.replace(str(FLAT), str(NODES)),
    "nested JSON": json.dumps(
        {"normal": NODES, "normal_concat": STATES, "reduce": NODES, "reduce_concat": STATES}
    ),
    "scored dictionary": str(
        {"normal": SCORED, "normal_concat": STATES, "reduce": SCORED, "reduce_concat": STATES}
    ),
    "scored triples": rewritten(PLAIN, **{", 0)": ", 0, 0.25)", ", 1)": ", 1, 0.5)"}).replace(
        ", 2)", ", 2, 0.125)").replace(", 4)", ", 4, 0.75)"),
    "list of four": json.dumps([FLAT, STATES, FLAT, STATES]),
    "byte order mark": "\ufeff" + PLAIN,
    "trailing comma": PLAIN + ",\n",
    "log line": "07/08 05:56:53 AM genotype = " + PLAIN,
    "ISO log line": "2026-01-02 03:04:05,678 INFO:root: genotype = " + PLAIN,
    "back-ticks": f"`{PLAIN}`",
    "a fence": f"```python\n{PLAIN}\n```",
    "quotes": f'"{PLAIN}"',
    "module name": f"genotypes.{PLAIN}",
    "confopt": f"DARTS{PLAIN}",
    "step of the range": PLAIN.replace("range(2, 6)", "range(2, 6, 1)"),
    "numpy's integers": rewritten(PLAIN, **{", 0)": ", np.int64(0))", ", 2)": ", numpy.int32(2))"}),
    "numpy's texts": PLAIN.replace("'skip_connect'", "np.str_('skip_connect')"),
    "ordered dictionary": f"OrderedDict([('normal', {FLAT}), ('normal_concat', {STATES}), "
    f"('reduce', {FLAT}), ('reduce_concat', array({STATES}))])",
    "a report": json.dumps({"genotype": PLAIN, "accuracy": 97.1}),
    "another report": json.dumps({"arch": PLAIN, "epoch": 3}),
    "a tuple": f"({PLAIN}, 97.1)",
    "a list": json.dumps([PLAIN]),
    "a call in a sentence": f"We found ({PLAIN}).\nIt is good.",
    "AutoDL's call": PLAIN.replace(str(FLAT), str(SCORED))[:-1] + ", connectN=None, connects=f)",
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN)
def test_the_ways_that_people_write_a_cell_are_read(kind: str, tmp_path: Path) -> None:
    assert resolve(WRITTEN[kind], tmp_path) == THE_CELL
    file = tmp_path / "mine.txt"
    file.write_text(WRITTEN[kind], "utf-8")
    found = named(str(file), tmp_path)
    assert found == ("mine", THE_CELL, "")
    file.write_bytes(WRITTEN[kind].replace("\ufeff", "").encode("utf-16"))
    assert resolve(str(file), tmp_path) == THE_CELL


def test_nni_forms_may_hold_integers(tmp_path: Path) -> None:
    order = ["max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
             "dil_conv_3x3", "dil_conv_5x5"]  # fmt: skip
    legacy: dict[str, object] = {}
    hub: dict[str, object] = {"width": 36, "num_cells": 20}
    for cell in ("normal", "reduce"):
        for place, node in enumerate(NODES, 2):
            legacy[f"{cell}_n{place}_switch"] = [source for _, source in node]
            for k, (name, source) in enumerate(node):
                legacy[f"{cell}_n{place}_p{source}"] = order.index(name)
                hub |= {f"{cell}/op_{place}_{k}": name, f"{cell}/input_{place}_{k}": source}
    assert parse(json.dumps(legacy)) == parse(str(hub)) == THE_CELL
    legacy["normal_n2_p0"] = 7
    with pytest.raises(GenotypeError, match="normal_n2_p0: 7"):
        parse(json.dumps(legacy))


def test_the_last_complete_genotype_of_a_log_is_read_and_its_line_said(darts, tmp_path) -> None:
    (tmp_path / "log.txt").write_text(LOG)
    shown = darts("show", "log.txt", "--json")
    assert parse(json.loads(shown.out)["text"]) == THE_CELL
    assert shown.err.strip() == "the genotype of line 4 is read, the last of 2"
    # A log that was cut while it was written.
    (tmp_path / "log.txt").write_text(LOG[: LOG.rindex("reduce=") + 40])
    result = darts("convert", "log.txt", "--to", "text")
    assert parse(result.out) == parse(OTHER)
    assert result.err.strip() == "the genotype of line 2 is read; that of line 4 is cut off"
    # In Latin-1, and longer than any genotype.
    (tmp_path / "log.txt").write_bytes(b"caf\xe9\n" * MAX_TEXT + LOG.encode())
    assert resolve("log.txt", tmp_path) == THE_CELL


def test_a_python_file_gives_what_a_name_stands_for_and_is_never_run(darts, tmp_path) -> None:
    file = tmp_path / "genotypes.py"
    file.write_text(MODULE + "open('PROOF', 'w')\n")
    for name in ("MINE_V2", "MINE", "SCORED"):
        assert named(f"{file}:{name}", tmp_path) == (name, THE_CELL, "")
    assert resolve(f"{file}:MINE_V1", tmp_path) == parse(OTHER)
    asked = darts("show", "genotypes.py")
    assert asked.code == 4
    assert "MINE_V1, MINE_V2, SCORED, MINE" in asked.err
    assert "FILE:MINE" in asked.error_lines[-1]
    for name, part in (
        ("MINE_V3", "it has MINE_V1, MINE_V2, SCORED, MINE"),
        ("PRIMITIVES", "the list holds no genotype"),
        ("Genotype", "not a genotype"),
    ):
        result = darts("show", f"genotypes.py:{name}")
        assert (result.code in (4, 5), part in result.err) == (True, True), result.err
    file.write_text("A = B\nB = A\n")
    assert "names lead in a circle" in darts("show", "genotypes.py:A").err
    assert not (tmp_path / "PROOF").exists()


def test_what_is_commented_out_is_not_taken_for_what_is_left(tmp_path) -> None:
    file = tmp_path / "genotypes.py"
    file.write_text(f"BEST = genotype = {PLAIN}\n# OLD = genotype = {OTHER}\n#  {OTHER}\n")
    assert named(str(file), tmp_path) == ("genotypes", THE_CELL, "")
    assert resolve(f"{file}:BEST", tmp_path) == THE_CELL
    file.write_text(f"# genotype = {PLAIN}\n")
    assert resolve(str(file), tmp_path) == THE_CELL


def test_standard_input_is_read(darts, tmp_path, monkeypatch) -> None:
    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    give(LOG.encode())
    assert parse(darts("convert", "-", "--to", "json").out) == THE_CELL
    give(b"PK\x03\x04 data.pkl")
    assert "a checkpoint" in darts("show", "-").err
    monkeypatch.setattr(sys, "stdin", None)
    assert darts("show", "-").code == 5


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"PK\x03\x04" + b"archive/data.pkl", "a checkpoint (saved by torch)"),
        (b"\x80\x02}q\x00.", "a checkpoint (pickled"),
        (b"\x40\0\0\0\0\0\0\0{}", "a checkpoint (safetensors)"),
        (b"PK\x03\x04" + bytes(20) + b"alphas.npy", "an archive of arrays"),
        (b"\x93NUMPY\1\0", "an array of numpy"),
        (b"\xff\xfe\0", "not UTF-16"),
        (b"text\0text", "binary"),
    ],
)
def test_a_checkpoint_where_a_genotype_is_wanted_is_called_that(darts, tmp_path, content, part):
    (tmp_path / "model.pt").write_bytes(content)
    result = darts("show", "model.pt")
    assert (result.code, part in result.err, len(result.error_lines)) == (4, True, 3) or (
        "UTF-16" in result.err
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (PLAIN.replace(f", reduce={FLAT}, reduce_concat=range(2, 6)", ""), "one cell, normal"),
        (PLAIN.replace(f"reduce={FLAT}", "reduce=None"), "one cell, normal"),
        (PLAIN + "._replace(normal=[])", "another value of it"),
        (PLAIN + "[0]", "another value of it"),
        (PLAIN[:-30], "cut off"),
        (LOG.replace("('skip_connect', 0)", "('skip_connect', 9)"), "line 4, normal cell"),
        ("genotype = Genotype(normal=gene_normal, reduce=gene_reduce)", "not a literal"),
        (PLAIN[:-1] + ", bottleneck='x')", "no part 'bottleneck'"),
        (
            '{"normal": [], "reduce": [], "normal_bottleneck": 1}',
            "no part 'normal_bottleneck'",
        ),
        ("!!python/object:archai.X\nnormal_cell: !!python/object:archai.Y {}", "never made"),
        ("normal_n2: !!python/object:os.system\n  chosen: []", "line 1"),
        ("normal_n2:\n  meta:\n    x: !!python/object/apply:os.system [ls]", "line 3"),
        ("normal_n2: &a\n  chosen: [normal_n2_p0]\nb: *a", "line 1"),
    ],
)
def test_what_is_no_whole_genotype_is_refused_by_name(text, part, tmp_path):
    with pytest.raises(GenotypeError, match=part) as refusal:
        read(text)
    assert len(str(refusal.value)) < 800


def test_code_that_makes_a_genotype_is_passed_over_for_one_that_is_written_out():
    text = f"{LOG}\n        genotype = Genotype(normal=gene_normal, reduce=gene_reduce)\n"
    assert read(text) == (
        THE_CELL,
        "the genotype of line 4 is read, the last that is written out of 3",
    )


@pytest.mark.parametrize(
    "text",
    [
        "Genotype(" * 100_000,
        "Genotype(x)\n" * 100_000,
        "Genotype('" + "\\'" * 45_000,
        "{#" * 500_000,
        "{'normal':" * 100_000,
        "|none~0|" * 100_000,
        "a = b\n" * 200_000,
        "normal_n2:\n  chosen:\n" + "  - a\n" * 10_000,
        " " * 1_000_000 + "Genotype(1)" + " " * 1_000_000 + ".x",
    ],
    ids=lambda text: text.strip()[:12],
)
def test_a_hostile_megabyte_takes_no_more_than_seconds(text):
    began = time.process_time()
    with contextlib.suppress(GenotypeError):
        read(text)
    assert time.process_time() - began < 5


def test_mmrazors_yaml_has_other_shapes_that_say_the_same(tmp_path):
    from darts_engine.run.architecture.forms.mmrazor import write

    text = write(THE_CELL)
    flow = text.replace("\n  chosen:\n  - sep_conv_3x3", "\n  chosen: ['sep_conv_3x3']")
    assert flow != text
    deeper = "# a note\n---\n" + text.replace("\n  - ", "\n    - ") + "\n  meta:\n    - all\n"
    as_json = json.dumps({"normal_n2": {"chosen": ["normal_n2_p0"]}})
    for other in (flow, deeper, text.replace("dil_conv_5x5", '"dil_conv_5x5"  # kept')):
        assert parse(other) == THE_CELL
    with pytest.raises(GenotypeError, match="normal_n2_p0"):
        parse(as_json)


@pytest.mark.parametrize("form", FORMS)
def test_convert_writes_what_show_reads(darts, tmp_path, form):
    name = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|" if "nb201" in form else "PDARTS"
    result = darts("convert", name, "--to", form, "--out", tmp_path / "made")
    assert (result.code, result.err) == (0, "")
    assert (tmp_path / "made").read_text().strip() == darts(
        "convert", name, "--to", form
    ).out.strip()
    shown = darts("show", "made", "--json")
    assert (shown.code, shown.err) == (0, "")
    expected = resolve(name, tmp_path)
    found = parse(json.loads(shown.out)["text"])
    assert all(sorted(found.edges(c)) == sorted(expected.edges(c)) for c in expected.cells)
    assert darts("convert", name, "--to", form, "--out", tmp_path / "made").code == 1


def test_convert_refuses_by_name(darts):
    result = darts("convert", "RNN_ENAS", "--to", "nni")
    assert (result.code, "the form nni has no place" in result.err) == (4, True)
    assert darts("convert", "DARTS_V2", "--to", "xml").code == 2


def test_recurrent_cells_are_taken_as_any_other(tmp_path):
    text = "Genotype(recurrent=[('tanh', 0), ('relu', 1), ('sigmoid', 0)], concat=range(1, 4))"
    assert resolve(f"06/01 genotype = {text}", tmp_path).form == RECURRENT


def test_operations_of_ones_own_are_read_by_a_file_or_refused_with_the_nearest(darts, tmp_path):
    mine = PLAIN.replace("dil_conv_5x5", "dil_conv_5").replace("skip_connect", "identity-1")
    (tmp_path / "mine.txt").write_text(mine)
    (tmp_path / "names.toml").write_text(
        'dil_conv_5 = "dil_conv_5x5"\n"identity-1" = "skip_connect"\n'
    )
    shown = darts("show", "mine.txt", "--operations", "names.toml", "--json")
    assert parse(json.loads(shown.out)["text"]) == THE_CELL
    converted = darts("convert", "mine.txt", "--to", "nni", "--operations", "names.toml")
    assert parse(converted.out) == THE_CELL
    refused = darts("show", PLAIN.replace("dil_conv_5x5", "dil_conv_5"))
    assert refused.code == 4
    assert "the nearest is 'dil_conv_5x5'" in refused.err
    assert 'dil_conv_5 = "dil_conv_5x5"' in refused.err
    trained = darts("train", "--genotype", PLAIN.replace("dil_conv_5x5", "dil_conv_5"), "--detach")
    assert (trained.code, "the nearest is 'dil_conv_5x5'" in trained.err) == (4, True)
    for content, code, part in (
        (b"dil = 'dil_conv_5'", 2, "the nearest is 'dil_conv_5x5'"),
        (b"dil = 3", 2, "no name of an operation"),
        (b"dil =", 2, "not TOML"),
        (b"\xff", 2, "not TOML"),
    ):
        (tmp_path / "names.toml").write_bytes(content)
        result = darts("show", "mine.txt", "--operations", "names.toml")
        assert (result.code, part in result.err) == (code, True), result.err
    assert darts("show", "mine.txt", "--operations", "none.toml").code == 5
    for encoding in ("utf-8-sig", "utf-16"):
        text = 'dil_conv_5 = "dil_conv_5x5"\n"identity-1" = "skip_connect"\n'
        (tmp_path / "names.toml").write_text(text, encoding)
        assert darts("show", "mine.txt", "--operations", "names.toml").code == 0
    cell = "|conv3~0|+|conv3~0|none~1|+|conv3~0|none~1|none~2|"
    (tmp_path / "names.toml").write_text('conv3 = "nor_conv_3x3"')
    shown = darts("show", cell, "--operations", "names.toml", "--json")
    assert json.loads(shown.out)["text"] == cell.replace("conv3", "nor_conv_3x3")


def test_a_file_that_is_too_long_or_is_not_there_is_refused(tmp_path, darts):
    with (tmp_path / "long").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert f"larger than {MAX_BYTES} bytes" in darts("show", "long").err
    with pytest.raises(NotFoundError):
        resolve("nothing.py:MINE", tmp_path)


def test_published_names_are_still_the_shortest(tmp_path):
    assert resolve("DARTS_V2", tmp_path) == published()["DARTS_V2"].genotype


def test_training_evaluating_and_exporting_take_the_same_forms(darts, runs, tmp_path, capsys):
    from darts_tui.commands import evaluate, start

    (tmp_path / "genotypes.py").write_text(MODULE)
    (tmp_path / "log.txt").write_text(LOG.replace("dil_conv_5x5", "dil_5"))
    names = {"dil_5": "dil_conv_5x5"}
    for text, operations in (("genotypes.py:MINE", None), ("log.txt", names)):
        given = {"network.genotype": text}
        trained = start.train_config(None, given, runs, operations)
        assert parse(trained.network.genotype) == THE_CELL
        chosen = evaluate.subject(None, runs, tmp_path / "weights.pt", "best", given, operations)
        assert parse(chosen.config.network.genotype) == THE_CELL
    assert "the genotype of line 4 is read" in capsys.readouterr().err
    exported = darts("export", "genotypes.py:MINE", "--format", "dot", "--out", tmp_path / "out")
    assert (exported.code, len(exported.out.splitlines())) == (0, 2)
