"""Run folders of an earlier build are listed, watched, replayed, exported, evaluated and resumed.

`tests/golden/README.md` describes how they were made.
"""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from dashboard_kit import screen_text, until
from engine_kit import Engine, events_in, state_of
from forked_programs import fork_programs

from darts_engine.run import events
from darts_engine.run.folder import RunFolder
from darts_engine.run.state import RunState
from darts_tui.cli import main
from darts_tui.dashboard.app import DashboardApp

GOLDEN = Path(__file__).parent / "golden" / "runs"
# Another processor rounds otherwise, and a few images may then change their class.
OTHER_MACHINE = 1.0
FIGURES = {
    "search": {"train_top1": 70.6777, "valid_top1": 77.7469, "best_top1": 77.7469},
    "training": {"train_top1": 50.4854, "valid_top1": 70.1408, "best_top1": 70.1408},
}
GENOTYPES = {
    "search": "Genotype(normal=[('sep_conv_5x5', 1), ('dil_conv_3x3', 0), ('skip_connect', 2), "
    "('max_pool_3x3', 0)], normal_concat=[2, 3], reduce=[('max_pool_3x3', 1), "
    "('avg_pool_3x3', 0), ('avg_pool_3x3', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3])",
    "training": "Genotype(normal=[('sep_conv_5x5', 1), ('dil_conv_5x5', 0), ('max_pool_3x3', 0), "
    "('avg_pool_3x3', 1)], normal_concat=[2, 3], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 1), ('avg_pool_3x3', 2)], reduce_concat=[2, 3])",
}


# Searches of methods whose rules have changed since: what they keep, and where they end.
EARLIER_RULES = {
    "gdas-ranking": ["method.gumbel_gradient = all", "method.ranking_counts_none = true"],
    "drnas-staged": [
        "method.edge_ranking = mean",
        "method.stage_lr = restart",
        "space.without_none = false",
    ],
}
EARLIER_GENOTYPES = {
    "gdas-ranking": "Genotype(normal=[('avg_pool_3x3', 1), ('skip_connect', 1), "
    "('sep_conv_3x3', 0), ('max_pool_3x3', 1)], normal_concat=[2, 3], "
    "reduce=[('dil_conv_5x5', 1), ('dil_conv_5x5', 0), ('skip_connect', 1), "
    "('dil_conv_3x3', 2)], reduce_concat=[2, 3])",
    "drnas-staged": "Genotype(normal=[('sep_conv_5x5', 1), ('avg_pool_3x3', 0), "
    "('sep_conv_3x3', 1), ('max_pool_3x3', 2)], normal_concat=[2, 3], "
    "reduce=[('max_pool_3x3', 0), ('dil_conv_3x3', 1), ('max_pool_3x3', 2), "
    "('dil_conv_3x3', 0)], reduce_concat=[2, 3])",
}


class Printed(NamedTuple):
    code: int
    out: str
    err: str


Darts = Callable[..., Printed]


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """Copies of both runs, private as run folders are."""
    runs = shutil.copytree(GOLDEN, tmp_path / "golden")
    for path in runs.rglob("*"):
        path.chmod(stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR)
    return runs


@pytest.fixture
def darts(
    golden: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Darts:
    """Run a command line in this process on the copies."""
    monkeypatch.setenv("DARTS_TUI_RUNS", str(golden))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(golden.parent)
    fork_programs(monkeypatch)

    def run(*arguments: str) -> Printed:
        capsys.readouterr()
        return Printed(main.run(list(arguments)), *capsys.readouterr())

    return run


def test_both_are_listed(darts: Darts) -> None:
    listed = {run["name"]: run for run in json.loads(darts("runs", "--json").out)}
    assert {name: run["state"] for name, run in listed.items()} == {
        "search": "stopped",
        "training": "stopped",
    }
    table = darts("runs").out
    assert "50.07 %" in table
    assert "46.20 %" in table


@pytest.mark.parametrize("name", ["search", "training"])
def test_every_event_is_replayed_as_it_was_written(darts: Darts, golden: Path, name: str) -> None:
    written = [
        json.loads(line) for line in (golden / name / "events.jsonl").read_text().splitlines()
    ]
    for command in (["tail", name, "--json"], ["attach", name, "--progress", "json"]):
        printed = darts(*command)
        assert printed.code == 0, printed.err
        assert [json.loads(line) for line in printed.out.splitlines()] == written
    notes = darts("attach", name, "--progress", "plain").out
    assert "epoch 2: train" in notes
    assert "stopped at epoch 3" in notes


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("search", ["Stopped at epoch 3, step 2.", "Normal cell", "Reduction cell"]),
        ("training", ["Stopped at epoch 3, step 17.", "epoch 2, 46.2 %"]),
    ],
)
async def test_the_dashboard_shows_it(golden: Path, name: str, shown: list[str]) -> None:
    app = DashboardApp(RunFolder(golden / name), theme="dark", glyphs="braille")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.view().live == "stopped" and not app.view().loading)
        await until(pilot, lambda: all(words in screen_text(app) for words in shown))


@pytest.mark.parametrize(
    ("name", "parts"),
    [("search", {"normal", "reduce", "alphas", "curves", "health"}), ("training", {"curves"})],
)
@pytest.mark.slow
def test_everything_is_exported(darts: Darts, golden: Path, name: str, parts: set[str]) -> None:
    printed = darts("export", name, "--what", "all")
    assert printed.code == 0, printed.err
    files = [path.name for path in (golden / name / "exports").rglob("*") if path.stat().st_size]
    assert {suffix for suffix in (".svg", ".png", ".csv") if any(suffix in f for f in files)} == {
        ".svg",
        ".png",
        ".csv",
    }
    assert all(any(part in file for file in files) for part in parts), files


@pytest.mark.slow
def test_the_trainings_checkpoint_validates_as_its_epoch_did(darts: Darts, golden: Path) -> None:
    best = state_of(RunFolder(golden / "training")).best
    printed = darts("evaluate", "training", "--json", "--format", "")
    assert printed.code == 0, printed.err
    assert json.loads(printed.out)["test_top1"] == pytest.approx(best.valid_top1, abs=OTHER_MACHINE)


def end_of(state: RunState) -> dict[str, float]:
    ended = state.result
    return {name: getattr(ended, name) for name in ("train_top1", "valid_top1", "best_top1")}


@pytest.mark.parametrize("name", [pytest.param("search", marks=pytest.mark.slow), "training"])
def test_it_is_resumed_to_the_end_that_the_earlier_build_reached(golden: Path, name: str) -> None:
    run = RunFolder(golden / name)
    engine = Engine(run)
    try:
        assert engine.wait(100) == 0, run.engine_log.read_text()
    finally:
        engine.kill()
    state = state_of(run)
    assert [epoch.epoch for epoch in state.epochs] == [1, 2, 3, 4, 5]
    genotype = state.final_genotype()
    assert genotype is not None
    assert genotype.text() == GENOTYPES[name]
    assert end_of(state) == pytest.approx(FIGURES[name], abs=OTHER_MACHINE)


@pytest.mark.slow
@pytest.mark.parametrize("name", EARLIER_RULES)
def test_it_keeps_the_rules_that_it_began_with(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(GOLDEN.parent / "earlier_rules" / name, tmp_path / name)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR)
    run = RunFolder(folder)
    engine = Engine(run)
    try:
        assert engine.wait(100) == 0, run.engine_log.read_text()
    finally:
        engine.kill()
    found = state_of(run).final_genotype()
    assert found is not None
    assert found.text() == EARLIER_GENOTYPES[name]
    lines = [event.message for event in events_in(run) if isinstance(event, events.LogWritten)]
    notes = [line for line in lines if "earlier version" in line]
    assert [note.split("keeps ")[1].split(",")[0] for note in notes] == EARLIER_RULES[name]
