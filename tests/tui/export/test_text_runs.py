"""Exports of runs on text: the cell, its alphas, perplexity, and where averaging began."""

import csv
from pathlib import Path

import pytest
from stories.recurrent import AVERAGING_FROM, make_text_run, text_events
from tests.tui.export.test_dot import NODE, drawn_edges

from darts_engine.run.architecture.text import published
from darts_engine.run.state import fold_all
from darts_tui.export import jobs, pictures
from darts_tui.export.dot import cell_dot
from darts_tui.export.pictures import curves

V2 = published()["RNN_DARTS_V2"].genotype


def test_a_recurrent_cell_begins_with_token_and_state_and_ends_in_the_mean_of_its_nodes() -> None:
    dot = cell_dot(V2, "recurrent")
    assert [name for name, _ in NODE.findall(dot)] == [
        "x_{t}", "h_{t-1}", *map(str, range(9)), "mean", "h_{t}",
    ]  # fmt: skip
    edges = drawn_edges(dot)
    assert [edge for edge in edges if edge[2]] == [
        ("0", "1", "sigmoid"),
        ("1", "2", "relu"),
        ("1", "3", "relu"),
        ("1", "4", "identity"),
        ("2", "5", "tanh"),
        ("5", "6", "sigmoid"),
        ("3", "7", "tanh"),
        ("5", "8", "relu"),
    ]
    assert [source for source, target, _ in edges if target == "mean"] == list("12345678")
    assert {'x_{t}" -> 0', 'h_{t-1}" -> 0', 'mean -> "h_{t}'} <= {
        line.strip().strip('"') for line in dot.splitlines()
    }


def test_only_the_states_of_concat_are_averaged() -> None:
    edges = drawn_edges(cell_dot(published()["RNN_ENAS"].genotype, "recurrent"))
    averaged = [source for source, target, _ in edges if target == "mean"]
    assert averaged == ["2", "5", "6", "9", "10", "11"]


def test_curves_have_a_logarithmic_perplexity_and_mark_where_averaging_began() -> None:
    state = fold_all(text_events(kind="train"))
    loss, perplexity, *rest = curves(state, "verses").panels
    assert (perplexity.label, perplexity.logarithmic) == ("perplexity", True)
    assert [line.label for line in perplexity.lines] == ["train", "validation"]
    assert state.best is not None
    assert perplexity.mark == (state.best.epoch, state.best.valid_perplexity)
    assert loss.division == perplexity.division
    assert loss.division is not None
    assert loss.division[0] == AVERAGING_FROM - 1
    assert all("accuracy" not in panel.label for panel in rest)
    assert all(0 < x <= 24 for x, _ in loss.lines[0].points)
    search = curves(fold_all(text_events()), "verses").panels
    assert search[0].division is None


def test_rows_of_alpha_are_grouped_by_node() -> None:
    state = fold_all(text_events())
    genotype = state.final_genotype()
    assert state.started is not None
    assert state.alpha is not None
    assert genotype is not None
    picture = pictures.heatmap(state.started.cells[0], state.alpha, genotype, "verses")
    assert picture.groups == list(range(1, 9))
    assert picture.rows[:3] == ["0 → 1", "0 → 2", "1 → 2"]
    assert len(picture.kept) == 8


@pytest.mark.parametrize("kind", ["search", "train"])
def test_everything_is_exported_and_drawn(runs: Path, kind: str) -> None:
    run = make_text_run(runs, "verses", kind=kind, epochs_done=3)
    report = jobs.export(run, what=["cells", "curves"], formats=("svg", "pdf", "dot"))
    assert report.messages == []
    assert all(file.stat().st_size > 100 for file in report.files)
    with (run.exports / "verses-curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["valid_perplexity"]) > 1 for row in rows] == [True] * 3
    assert {row["valid_top1"] for row in rows} == {""}
    if kind == "search":
        with (run.exports / "verses-health.csv").open() as file:
            health = list(csv.DictReader(file))
        assert [float(row["hidden_norm"]) > 1 for row in health] == [True] * 3
        assert "derived_loss" in health[0]
