"""Networks without a genotype, from the command line to the dashboard."""

import json
from pathlib import Path

import pytest
from engine_kit import state_of

from darts_engine.run.folder import RunFolder
from darts_engine.run.state import RunState
from darts_tui.dashboard.panels.genotype import GenotypePanel, HistoryPanel
from darts_tui.dashboard.panels.health import HealthPanel
from darts_tui.dashboard.panels.schedules import SchedulesPanel
from darts_tui.dashboard.panels.view import View

QUICK = ("--network", "wrn-10-1", "--epochs", 2, "--batch-size", 256, "--threads", 1)


def text_of(content) -> str:
    return "\n".join("".join(span.text for span in line) for line in (*content.head, *content.rows))


def test_show_prints_the_published_counts(darts) -> None:
    result = darts("show", "wrn-34-10", "--classes", 100, "--json")
    assert result.code == 0
    assert json.loads(result.out)["parameters"] == 46_218_164
    assert "46,218,164" in darts("show", "wrn-34-10", "--classes", 100).out


@pytest.mark.parametrize(
    "arguments", [("wrn-35-10",), ("wrn-34",), ("wrn-34-10", "--layers", 3)], ids=str
)
def test_what_is_no_wide_resnet_is_refused(darts, arguments) -> None:
    result = darts("show", *arguments)
    assert result.code == 2
    assert 1 < len(result.error_lines) <= 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A training of a wide ResNet with every optimisation on, started from the command line."""
    runs = tmp_path_factory.mktemp("wide")
    from darts_tui.cli import main

    arguments = ["train", *QUICK, "--runs", runs, "--name", "wide", "--progress", "quiet",
                 "--sam-rho", 0.05, "--ema", 0.99, "--label-smoothing", 0.1, "--smoothing",
                 "others", "--schedule", "multi-step", "--warmup", 0.5, "--nesterov",
                 "--dropout", 0.1, "--no-channels-last"]  # fmt: skip
    assert main.run([str(argument) for argument in arguments]) == 0
    return RunFolder(runs / "wide")


@pytest.mark.slow
def test_a_wide_resnet_trains_from_the_command_line(trained: RunFolder) -> None:
    state: RunState = state_of(trained)
    assert state.phase == "finished"
    assert state.best is not None
    assert state.best.valid_top1 is not None
    assert [h.sharpness_gap is not None for h in state.health] == [True, True]


@pytest.mark.slow
def test_the_dashboard_s_panels_cope_without_a_genotype(trained: RunFolder) -> None:
    view = View(name="wide", state=state_of(trained))
    shown = text_of(GenotypePanel().content(view, 60, 9))
    assert "wrn-10-1" in shown
    assert "without cells" in shown
    HistoryPanel().content(view, 60, 9)
    assert "sharpness" in text_of(HealthPanel().content(view, 60, 9))
    schedules = text_of(SchedulesPanel().content(view, 60, 9))
    assert "lr" in schedules
    assert "drop path" not in schedules


@pytest.mark.slow
def test_commands_that_need_a_genotype_report_that_it_has_none(darts, trained: RunFolder) -> None:
    runs = ("--runs", trained.path.parent)
    assert json.loads(darts("runs", *runs, "--json").out)[0]["genotype"] is None
    cells = ("export", "wide", "--what", "cells", *runs)
    for command in (("train", "--genotype", "run:wide", *runs), cells):
        result = darts(*command)
        assert result.code != 0
        assert "no genotype" in result.err
    for what in ((), ("--what", "all")):
        given = json.loads(darts("export", "wide", *what, *runs, "--json").out)["files"]
        assert [Path(file).suffix for file in given] == [".svg", ".png", ".csv"]
    result = darts("train", "--network", "wrn-10-1", "--genotype", "DARTS_V2", *runs)
    assert result.code == 2
    assert "has no genotype" in result.err


def test_a_missing_file_of_weights_is_refused_before_a_run_is_made(darts, tmp_path: Path) -> None:
    result = darts("train", *QUICK, "--weights", tmp_path / "nowhere.pt")
    assert result.code == 5
    assert "nowhere.pt" in result.err
    assert json.loads(darts("runs", "--json").out) == []
