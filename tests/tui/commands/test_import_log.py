"""Logs of official codes become runs that are watched, scrubbed, exported and compared."""

import contextlib
import itertools
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import pytest
from dashboard_kit import at_rest, screen_text, watching
from stories import official_logs

from darts_engine.run import events
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold_all
from darts_tui.runs.official_log import read


def imported(
    darts: Any, runs: Path, log: str, name: str = "old"
) -> tuple[RunFolder, RunState, str]:
    """The run of a log, its state, and what was said of it."""
    file = runs.parent / "log.txt"
    file.write_text(log)
    os.utime(file, (1_600_000_000, 1_600_000_000))
    result = darts("import", file, "--name", name)
    assert (result.code, result.out.strip()) == (0, name), result.err
    run = RunFolder(runs / name)
    return run, fold_all(LogReader(run.events).read()), result.err


def test_a_search_of_the_official_code_becomes_a_run(darts, runs):
    run, state, notes = imported(darts, runs, official_logs.darts())
    assert notes == ""
    assert (state.phase, state.total_epochs, len(state.epochs)) == ("finished", 3, 3)
    started = state.started
    assert started is not None
    assert (started.parameters, started.steps_per_epoch) == (1_930_618, 101)
    assert [span.values for span in started.schedules] == [[0.025, 0.024, 0.023]]
    second = state.epochs[1]
    assert (second.train_top1, second.valid_top1, second.valid_loss) == (33.0, 38.5, 1.6)
    assert (second.valid_top5, second.seconds, second.is_best) == (82.25, 1980.0, True)
    assert [g.genotype for g in state.genotypes] == [official_logs.genotype_of(k) for k in range(3)]
    assert [g.epoch for g in state.genotypes] == [1, 2, 3]
    for epoch in (1, 2, 3):
        sample = state.alpha_at(epoch)
        assert sample is not None
        assert sample.weights == official_logs.weights_of(epoch - 1)
    assert state.result is not None
    assert (state.result.best_epoch, state.result.best_top1) == (3, 43.5)
    measured = state.health[-1]
    assert measured.kept_edges == {"normal": 8, "reduce": 8}
    rows = official_logs.weights_of(2)["normal"]
    mean = sum(-w * math.log(w) for row in rows for w in row if w) / 14
    assert measured.entropy["normal"] == pytest.approx(mean, abs=1e-6)
    # 17 September 2020, the year of the file; 05:56 in the log's own time.
    config = run.read_config()
    assert (config.data.batch_size, config.engine.seed, config.epochs) == (64, 2, 3)
    assert config.space.channels == 16


def test_steps_have_the_means_since_the_step_before(darts, runs):
    run, _, _ = imported(darts, runs, official_logs.darts(1, 1))
    steps = [e for e in LogReader(run.events).read() if isinstance(e, events.StepFinished)]
    assert [(step.step, step.global_step) for step in steps] == [(1, 1), (51, 51), (101, 101)]
    # The log's means since the epoch's beginning are 2.3, 2.25 and 2.2.
    means = [step.train_loss for step in steps]
    assert means == pytest.approx(
        [2.3, (2.25 * 51 - 2.3) / 50, (2.2 * 101 - 2.25 * 51) / 50], abs=1e-5
    )
    assert all(before.t <= after.t for before, after in itertools.pairwise(steps))


def test_pc_darts_and_pt_darts_are_read(darts, runs):
    _, state, _ = imported(darts, runs, official_logs.pc_darts(), "pc")
    assert (state.phase, len(state.epochs), len(state.genotypes)) == ("finished", 3, 3)
    assert [done.valid_top1 for done in state.epochs] == [None, None, 51.48]
    assert state.first_t == 1562796720.0
    _, state, _ = imported(darts, runs, official_logs.pt_darts(), "pt")
    assert (state.phase, state.total_epochs, len(state.epochs)) == ("finished", 3, 3)
    assert state.started is not None
    assert state.started.steps_per_epoch == 391
    assert [done.valid_top1 for done in state.epochs] == [51.0, 52.0, 50.0]
    assert [g.genotype for g in state.genotypes] == [
        official_logs.genotype_of(k) for k in (1, 2, 3)
    ]
    for epoch in (1, 2, 3):
        sample = state.alpha_at(epoch)
        assert sample is not None
        assert (sample.step, sample.weights) == (0, official_logs.weights_of(epoch))


def test_a_log_that_ends_early_is_stopped_and_nothing_goes_on_with_it(darts, runs):
    run, state, notes = imported(darts, runs, official_logs.darts(2, 50))
    assert (state.phase, state.total_epochs) == ("stopped", 50)
    assert notes.strip() == "the log ends in epoch 2 of 50"
    size = run.events.stat().st_size
    result = darts("resume", "old")
    assert (result.code, "imported from a log" in result.err) == (2, True)
    assert run.events.stat().st_size == size


async def test_the_dashboard_scrubs_an_imported_run(darts, runs):
    run, _, _ = imported(darts, runs, official_logs.darts(2, 50))
    history = LogReader(run.events).read()
    async with watching(run, history, live="stopped") as (app, pilot):
        assert "nothing goes on with it" in screen_text(app)
        for key in "12345678":
            await pilot.press(key)
            await at_rest(pilot, app)
        await pilot.press("1", "[")
        await at_rest(pilot, app)
        weight = f"{max(official_logs.weights_of(0)['normal'][0][1:]):.2f}".lstrip("0")
        assert weight in screen_text(app)


def test_epochs_that_are_counted_anew_go_on(darts, runs):
    log = official_logs.darts(2, 2) + official_logs.darts(2, 2, seed=5)
    _, state, notes = imported(darts, runs, log)
    assert [done.epoch for done in state.epochs] == [1, 2, 3, 4]
    assert "counted anew after epoch 2" in notes


def test_a_training_has_the_genotype_of_its_architectures_name(darts, runs):
    _, state, _ = imported(darts, runs, official_logs.training())
    assert (state.kind, state.phase) == ("train", "finished")
    assert state.result is not None
    assert state.result.best_top1 == 61.25
    shown = json.loads(darts("show", "run:old", "--json").out)
    assert parse(shown["text"]) == parse(
        json.loads(darts("show", "DARTS_V2", "--json").out)["text"]
    )


def test_an_imported_run_is_listed_shown_exported_and_tailed(darts, runs, tmp_path):
    imported(darts, runs, official_logs.darts())
    (listed,) = json.loads(darts("runs", "--json").out)
    assert (listed["state"], listed["epoch"], listed["problem"]) == ("finished", 3, None)
    assert parse(listed["genotype"]) == official_logs.genotype_of(2)
    assert parse(darts("convert", "run:old", "--to", "nested").out) == official_logs.genotype_of(2)
    written = darts("export", "old", "--what", "all", "--format", "svg", "--out", tmp_path / "out")
    assert written.code == 0, written.err
    assert len(written.out.splitlines()) >= 5
    assert "imported from" in darts("tail", "old").out
    for line in darts("tail", "old", "--json").out.splitlines():
        events.decode(line.encode())


def test_the_name_is_the_logs_or_its_folders(darts, runs, tmp_path):
    for path, name in (
        ("search-EXP-20190508/log.txt", "search-exp-20190508"),
        ("My Search.log", "my-search"),
    ):
        (file := tmp_path / path).parent.mkdir(exist_ok=True)
        file.write_text(official_logs.darts(1, 1))
        assert darts("import", file).out.strip() == name
    assert "already exists" in darts("import", tmp_path / "My Search.log").err
    assert darts("import", tmp_path / "My Search.log", "--name", "A B").code == 2


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"hello\n", "it has no epoch"),
        (b"PK\x03\x04data.pkl", "a checkpoint"),
        (b"", "it has no epoch"),
    ],
)
def test_what_is_no_log_is_refused(darts, runs, tmp_path, content, part):
    (tmp_path / "log.txt").write_bytes(content)
    result = darts("import", tmp_path / "log.txt", "--name", "x")
    assert (result.code, part in result.err) == (4, True)
    assert not (runs / "x").exists()
    assert darts("import", tmp_path / "none.txt").code == 5


def test_a_damaged_log_is_read_or_refused_and_its_events_hold(darts, runs, tmp_path):
    draws = random.Random(3)
    logs = [official_logs.darts(), official_logs.pc_darts(), official_logs.pt_darts()]
    pieces = (
        "epoch 7 lr ",
        "nan",
        "1e999",
        "Train: [ 1/3] Step 5/",
        "tensor([[",
        "99/99",
        "\n",
        "-1",
    )
    for number in range(40):
        text = draws.choice(logs)
        for _ in range(draws.randint(1, 6)):
            at = draws.randrange(len(text))
            text = text[:at] + draws.choice(pieces) + text[at + draws.choice((0, 3, 200, 2000)) :]
        with contextlib.suppress(RunError):
            read(text, 2020)
        (tmp_path / "log.txt").write_text(text)
        result = darts("import", tmp_path / "log.txt", "--name", f"d{number}")
        assert result.code in (0, 4), result.err
        if result.code == 0:
            run = RunFolder(runs / f"d{number}")
            state = fold_all(LogReader(run.events).read())
            assert state.phase in ("finished", "stopped")
            lines = run.events.read_bytes().splitlines()
            assert [events.decode(line).seq for line in lines] == list(range(1, len(lines) + 1))
