"""`darts-tui analyse`: the live figures again, lines and planes through alpha, and refusals."""

import csv
import json

import pytest
from engine_kit import Engine, events_in, make_run, of_type, state_of

from darts_engine.run.events import GapMeasured
from darts_engine.run.folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    """A finished search of two epochs that measured itself."""
    folder = make_run(
        tmp_path_factory.mktemp("runs"),
        "searched",
        search__epochs=2,
        space__nodes=1,
        method__hessian_every=1,
        search__gap_every=1,
    )
    assert Engine(folder).wait() == 0
    return folder


@pytest.mark.slow
def test_it_finds_what_the_run_logged_and_the_two_eigenvalues_agree(run, darts, tmp_path):
    result = darts(
        "analyse", run.path, "--json", "--images", 0, "--spectrum", "--distance", "--landscape",
        "--plane", "dominant", "--points", 1, "--gap", "--format", "svg", "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 0, result.err
    found, state = json.loads(result.out), state_of(run)
    assert found["eigenvalue"] == pytest.approx(state.health[-1].eigenvalue, abs=1e-6)
    assert found["agrees"]
    assert found["spectrum"] == sorted(found["spectrum"])
    assert len(found["spectrum"]) == found["entries"] == 32
    assert found["spectrum"][-1] == found["exact_eigenvalue"]
    done = state.epochs[-1]
    assert (found["valid_loss"], found["valid_top1"]) == (done.valid_loss, done.valid_top1)
    (_, measured) = of_type(events_in(run), GapMeasured)
    assert found["gap"]["renewed_loss"] == measured.renewed_loss
    walks = {walk["direction"]: walk for walk in found["walks"]}
    assert list(walks) == ["dominant", "random 1", "random 2", "random 3", "to the start"]
    assert walks["dominant"]["losses"][1] == walks["to the start"]["losses"][0] == done.valid_loss
    assert found["landscape"]["losses"][1][1] == done.valid_loss
    names = {file.rsplit("/")[-1] for file in found["files"]}
    kinds = ("spectrum", "distance", "landscape")
    assert names == {f"searched-epoch002-{k}.{e}" for k in kinds for e in ("csv", "svg")}
    table = (tmp_path / "out" / "searched-epoch002-landscape.csv").read_text().splitlines()
    rows = list(csv.reader(table))
    assert rows[0] == ["dominant", "second", "valid_loss", "valid_top1"]
    assert len(rows) == 1 + 9


@pytest.mark.slow
def test_without_the_whole_hessian_it_prints_one_eigenvalue(run, darts):
    result = darts("analyse", run.path, "--no-exact", "--epoch", 1)
    assert result.code == 0, result.err
    assert "after epoch 1" in result.out
    assert f"{state_of(run).health[0].eigenvalue:.3g}" in result.out
    assert "whole Hessian" not in result.out
    result = darts("analyse", run.path, "--epoch", 7)
    assert result.code == 5
    assert "no checkpoint of the end of epoch 7" in result.err
    assert "it keeps those of 1, 2" in result.err


def test_what_makes_no_sense_is_refused(run, darts, tmp_path):
    training = make_run(tmp_path, "training", "train")
    refused = darts("analyse", training.path)
    assert "has no alpha" in refused.err
    assert darts("analyse", run.path, "--plane", "flat").code == refused.code == 2


def test_the_gap_of_a_run_without_engine_is_not_waited_for(run, darts):
    result = darts("discretise", run.path)
    assert result.code == 4
    assert "no engine to discretise" in result.err


def test_export_has_the_curves_of_its_health(run, darts, tmp_path):
    result = darts("export", run.path, "--what", "curves", "--format", "svg", "--out", tmp_path)
    assert result.code == 0, result.err
    rows = list(csv.DictReader((tmp_path / "searched-health.csv").read_text().splitlines()))
    assert [row["cell"] for row in rows] == ["normal", "reduce"] * 2
    assert all(float(row["edge_margin"]) >= 0 for row in rows)
    assert all(float(row["eigenvalue"]) for row in rows)
    assert "edge margin" in (tmp_path / "searched-health.svg").read_text()
