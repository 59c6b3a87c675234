"""Alphas as other code saves or prints them: derived, or refused by the entry that is wrong."""

import contextlib
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darts_engine.run.architecture import derivation
from darts_engine.run.architecture.derivation import DARTS_OPERATIONS, derive_cell, softmax
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import GenotypeError
from darts_tui.runs import printed
from darts_tui.runs.alphas import derive_file

CELLS = ("normal", "reduce")


def rows_of(seed: int, edges: int = 14, columns: int = 8) -> list[list[float]]:
    draws = random.Random(seed)
    return [[round(draws.gauss(0, 1), 4) for _ in range(columns)] for _ in range(edges)]


RAW = {cell: rows_of(seed) for seed, cell in enumerate(CELLS)}
BETAS = {cell: [row[0] for row in rows_of(7 + seed)] for seed, cell in enumerate(CELLS)}
EXPECTED = derivation.derive({c: softmax(RAW[c]) for c in CELLS}, DARTS_OPERATIONS)


def nest(rows: list[Any]) -> list[list[Any]]:
    return [rows[start : start + count] for start, count in ((0, 2), (2, 3), (5, 4), (9, 5))]


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def derived(tmp_path: Path, content: bytes | str | Any) -> Any:
    file = tmp_path / "alphas"
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    file.write_bytes(content)
    return derive_file(file)


def tensor(rows: list[list[float]], digits: int = 4) -> str:
    """As torch prints it."""
    lines = ["[" + ", ".join(f"{n: .{digits}f}" for n in row) + "]" for row in rows]
    return "tensor([" + ",\n        ".join(lines) + "],\n       device='cuda:0', grad_fn=<Softmax>)"


def test_the_official_names_lists_for_each_node_and_arrays_say_the_same(tmp_path: Path) -> None:
    named = {f"alphas_{cell}": rows for cell, rows in RAW.items()}
    spread = {f"alpha_{c}.{k}": node for c in CELLS for k, node in enumerate(nest(RAW[c]))}
    for content in (
        RAW,
        named,
        {"alphas": RAW},
        {cell: nest(rows) for cell, rows in RAW.items()},
        spread,
        npz(**named),
        npz(**{c: np.array(RAW[c], dtype=">f8") for c in CELLS}),
        npz(**{k: np.array(v) for k, v in spread.items()}),
        "\ufeff" + json.dumps(RAW),
    ):
        assert derived(tmp_path, content) == (EXPECTED, ())


def test_alphas_without_none_have_a_column_less(tmp_path: Path) -> None:
    less = {cell: [row[1:] for row in rows] for cell, rows in RAW.items()}
    found = derived(tmp_path, npz(**less)).genotype
    weights = {c: softmax(less[c]) for c in CELLS}
    assert found == derivation.derive(weights, DARTS_OPERATIONS[1:])


def test_edge_weights_are_used_as_the_official_code_of_pc_darts_does(tmp_path: Path) -> None:
    """Its `genotype`: W[j] = softmax(alpha)[j] * softmax(beta of the node)[j]."""
    expected: dict[str, Any] = {}
    for cell in CELLS:
        weights = np.exp(RAW[cell]) / np.exp(RAW[cell]).sum(1, keepdims=True)
        start = 0
        for count in (2, 3, 4, 5):
            beta = np.exp(BETAS[cell][start : start + count])
            weights[start : start + count] *= (beta / beta.sum())[:, None]
            start += count
        expected[cell] = derive_cell(weights.tolist(), DARTS_OPERATIONS)
    plain = {f"alphas_{c}": RAW[c] for c in CELLS}
    for betas in (BETAS, {cell: nest(values) for cell, values in BETAS.items()}):
        content = plain | {f"betas_{cell}": values for cell, values in betas.items()}
        found = derived(tmp_path, content).genotype
        assert (found.normal, found.reduce) == (expected["normal"], expected["reduce"])
    assert found != EXPECTED
    with pytest.raises(GenotypeError, match="13 edge weights, not 14"):
        derived(tmp_path, plain | {"betas_normal": BETAS["normal"][1:], "betas_reduce": []})


def test_the_last_tensors_of_a_log_are_taken_and_what_they_are_is_said(darts, tmp_path) -> None:
    mixed = {cell: softmax(rows) for cell, rows in RAW.items()}
    old = tensor(softmax(rows_of(9)))
    genotype = f"07/08 AM genotype = {EXPECTED.text()}\n"
    log = (
        f"epoch 0\n{genotype}{old}\n{old}\n"
        f"epoch 1\n{genotype}{tensor(mixed['normal'])}\n{tensor(mixed['reduce'])}\ntrain_acc 33\n"
    )
    (tmp_path / "log.txt").write_text(log)
    result = darts("derive", "log.txt")
    assert parse(result.out) == EXPECTED
    line = log[: log.index("tensor", log.index("epoch 1"))].count("\n") + 1
    assert result.err.strip() == f"line {line}: the last of 2, read as mixing weights"
    # A log that was cut in the midst of a tensor, and raw alphas.
    cut = f"{log}{tensor(mixed['normal'])[:300]}"
    raw = f"{tensor(RAW['normal'])}\n{tensor(RAW['reduce'])}"
    assert derived(tmp_path, cut).genotype == EXPECTED
    assert derived(tmp_path, raw) == (EXPECTED, ("line 1: read as raw alphas",))
    array = str(np.array(mixed["normal"])) + "\n" + str(np.array(mixed["reduce"]))
    assert derived(tmp_path, array).genotype == EXPECTED


def test_pt_darts_prints_a_tensor_for_each_node(tmp_path: Path) -> None:
    mixed = {cell: softmax(rows) for cell, rows in RAW.items()}
    log = "####### ALPHA #######\n"
    for cell in CELLS:
        log += f"# Alpha - {cell}\n" + "".join(f"{tensor(node)}\n" for node in nest(mixed[cell]))
    begun = "# Alpha - normal\n" + tensor(nest(mixed["reduce"])[0]) + "\n"
    for text in (log, begun + log, log + begun):
        assert derived(tmp_path, text).genotype == EXPECTED
    assert len(printed.groups(log * 3)) == 3
    # Named in the other order.
    other = (
        f"# Alpha - reduce\n{tensor(mixed['reduce'])}\n# Alpha - normal\n{tensor(mixed['normal'])}"
    )
    assert derived(tmp_path, other).genotype == EXPECTED


def test_printed_edge_weights_and_other_spaces_are_known(tmp_path: Path) -> None:
    betas = "".join(
        f"betas_{c} = tensor([{', '.join(map(str, BETAS[c]))}], device='cuda:0')\n" for c in CELLS
    )
    text = f"{tensor(RAW['normal'])}\n{tensor(RAW['reduce'])}\n{betas}"
    asked = RAW | {f"betas_{cell}": values for cell, values in BETAS.items()}
    assert derived(tmp_path, text).genotype == derived(tmp_path, asked).genotype != EXPECTED
    rows = rows_of(3, 6, 5)
    assert derived(tmp_path, f"arch-parameters :\n{tensor(rows)}").genotype == (
        derived(tmp_path, {"cell": rows}).genotype
    )
    rows = rows_of(4, 36, 5)
    assert derived(tmp_path, tensor(rows)).genotype == derived(tmp_path, {"recurrent": rows})[0]


def test_that_equal_weights_decided_is_said(darts, tmp_path) -> None:
    even = {cell: [[0.125] * 8] * 14 for cell in CELLS}
    (tmp_path / "alphas.json").write_text(json.dumps(even))
    result = darts("derive", "alphas.json")
    assert "equal as they are written; the earlier one was taken" in result.err
    assert parse(result.out).normal[0] == ("max_pool_3x3", 0)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (RAW | {"gamma": [1, 2]}, "unknown key 'gamma'"),
        (RAW | {"alphas_normal": RAW["normal"]}, "normal twice"),
        (RAW | {"cell": [[0] * 5] * 6}, "do not belong together"),
        (json.dumps(RAW).replace(str(RAW["normal"][3][1]), "NaN"), "normal cell, row 4, column 2"),
        (RAW | {"normal": [*nest(RAW["normal"])[:3], [[0.0] * 8]]}, "node 5 has 1 edges, not 5"),
        ({"alpha_normal.1": []}, "unknown key 'alpha_normal.1'"),
        (b"\x80\x04checkpoint", "a checkpoint"),
        (npz(normal=RAW["normal"], reduce=np.zeros((14, 8, 2))), "one or two dimensions"),
        (npz(normal=np.asfortranarray(RAW["normal"]), reduce=[1]), "ascontiguousarray"),
        (npz(normal=np.array([{}], dtype=object), reduce=[1]), "of plain numbers"),
        (npz(normal=RAW["normal"], reduce=RAW["reduce"])[:400], "damaged"),
        (tensor(RAW["normal"]), "no printed alphas"),
        ("hello", "no printed alphas"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, part: str) -> None:
    with pytest.raises(GenotypeError, match=part) as refusal:
        derived(tmp_path, content)
    assert len(str(refusal.value).splitlines()) <= 3


def test_a_damaged_archive_is_read_or_refused(tmp_path: Path) -> None:
    good, draws = npz(**RAW), random.Random(5)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("normal.npy", bytes(50_000_000))
    with pytest.raises(GenotypeError, match="larger than"):
        derived(tmp_path, bomb.getvalue())
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(draws.randint(1, 4)):
            bad[draws.randrange(len(bad))] ^= 1 << draws.randrange(8)
        with contextlib.suppress(GenotypeError):
            derived(tmp_path, bytes(bad))
