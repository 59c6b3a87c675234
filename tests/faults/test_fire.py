"""The engine among poisoned numbers, other engines, vanished folders and frozen watchers."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from engine_kit import Engine, events_in, make_run, of_type, state_of, until

from darts_engine.run import events
from darts_engine.run.errors import ExitCode
from darts_engine.run.liveness import observe
from darts_engine.runner import checkpoint

Start = Callable[..., Engine]


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_loss_that_is_no_number_ends_the_run_and_no_saved_state_is_poisoned(
    runs: Path, start: Start, kind: str
) -> None:
    explosive = {"weights__lr": 1e30, "weights__grad_clip": 0.0}
    run = make_run(runs, "nan", kind, checkpoint__checkpoint_seconds=0.001, **explosive)
    assert start(run).wait() == ExitCode.NOT_FINITE
    failed = events_in(run)[-1]
    assert isinstance(failed, events.RunFailed)
    assert failed.exit_code == 6
    lines = failed.message.splitlines()
    assert len(lines) == 3
    assert "epoch 1, step" in lines[1]
    for path in checkpoint.newest_first(run):
        state = checkpoint.load(run, checkpoint.read_manifest(path))
        assert not checkpoint.find_not_finite(state)


def test_after_a_kill_the_next_engine_starts_at_once_and_a_third_is_refused(
    runs: Path, start: Start
) -> None:
    run = make_run(runs, "killed", search__epochs=500)
    first = start(run)
    first.until(lambda history: of_type(history, events.StepFinished))
    assert observe(run, state_of(run)) == "running"
    first.kill()
    assert observe(run, state_of(run)) == "dead"
    second = start(run)
    third = start(run)
    codes = until(lambda: [e.wait() for e in (second, third) if not e.is_alive])
    assert codes == [ExitCode.BUSY]
    alive = second if second.is_alive else third
    alive.until(lambda history: len(of_type(history, events.RunStarted)) == 2)
    assert f"pid {alive.pid} on" in run.engine_log.read_text()


def test_a_run_whose_folder_is_deleted_ends_with_a_message(runs: Path, start: Start) -> None:
    run = make_run(runs, "deleted", search__epochs=500)
    engine = start(run)
    engine.until(lambda history: of_type(history, events.StepFinished))
    with run.engine_log.open() as log:
        # The engine may write a file between the removal of all others and that of the folder.
        until(lambda: shutil.rmtree(run.path, ignore_errors=True) or not run.path.exists())
        assert engine.wait(30) == ExitCode.NOT_FOUND
        said = log.read()
    assert "the run folder is gone" in said
    assert "Traceback" not in said
    assert not run.path.exists()


@pytest.mark.slow
def test_another_number_of_threads_at_resume_is_told_and_refused_by_a_strict_one(
    runs: Path, start: Start
) -> None:
    run = make_run(runs, "threads", search__epochs=1)
    assert start(run).wait() == 0
    before = [checkpoint.read_manifest(path) for path in checkpoint.newest_first(run)]
    assert Engine(run, is_strict=True).wait() == 0
    run.config.write_text(run.config.read_text().replace("threads = 1", "threads = 2"))
    told = len(events_in(run))
    assert Engine(run, is_strict=True).wait() == ExitCode.REFUSED
    (failed,) = events_in(run)[told:]
    assert isinstance(failed, events.RunFailed)
    what, where, _remedy = failed.message.splitlines()
    assert what.endswith("the same bits: threads was 1 and is 2")
    assert where == str(run.checkpoints / before[0].file)
    assert [checkpoint.read_manifest(path) for path in checkpoint.newest_first(run)] == before
    assert start(run).wait() == 0
    warnings = [n for n in of_type(events_in(run)[told:], events.LogWritten) if n.level != "info"]
    assert [(n.level, n.message) for n in warnings] == [
        ("warning", "threads was 1 and is 2: results may differ in the last digits")
    ]


@pytest.mark.skipif(shutil.which("tail") is None, reason="needs tail")
def test_a_frozen_watcher_holds_nothing_up(runs: Path, start: Start) -> None:
    run = make_run(runs, "watched", search__epochs=2)
    run.events.touch(mode=0o600)
    watcher = subprocess.Popen(["tail", "-f", str(run.events)], stdout=subprocess.PIPE)
    try:
        watcher.send_signal(signal.SIGSTOP)
        assert start(run).wait() == 0
    finally:
        watcher.kill()
        watcher.communicate(timeout=10)
    assert state_of(run).phase == "finished"


@pytest.mark.slow
def test_a_checkpoint_of_another_search_is_refused_naming_both(runs: Path, start: Start) -> None:
    donor = make_run(runs, "donor", search__epochs=1)
    assert start(donor).wait() == 0
    for name, change, words in (
        ("wider", {"space__channels": 4}, ("C=2", "C=4")),
        ("training", {"kind": "train"}, ("search", "train")),
        ("reordered", {"data__batch_size": 8}, ("batch 16 seed 7", "batch 8 seed 7")),
    ):
        run = make_run(runs, name, **change)
        shutil.copytree(donor.checkpoints, run.checkpoints, dirs_exist_ok=True)
        assert start(run).wait() == ExitCode.REFUSED
        failed = events_in(run)[-1]
        assert isinstance(failed, events.RunFailed)
        assert all(word in failed.message for word in words)
