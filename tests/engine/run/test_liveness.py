"""Is the engine alive: the nine answers, from the lock and the log."""

import os
import time
from pathlib import Path

import pytest
from fake_run import engine_alive, make_run
from fake_story import made_up_events

from darts_engine.run import folder, liveness
from darts_engine.run.liveness import observe
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.state import RunState, fold_all

LONG_AGO = 1_000_000_000


def after(phase: str) -> RunState:
    return fold_all(made_up_events(epochs_done=1, epochs=2, steps=2, phase=phase))


@pytest.mark.parametrize("phase", ["running", "paused", "stopping"])
def test_a_held_lock_with_a_heartbeat_means_what_the_log_says(runs: Path, phase: str) -> None:
    run = make_run(runs, "a")
    state = after("running")
    state.phase = phase
    with engine_alive(run):
        assert observe(run, state) == phase


@pytest.mark.parametrize("phase", ["finished", "stopped", "failed"])
def test_an_ended_log_and_a_free_lock_mean_the_end(runs: Path, phase: str) -> None:
    assert observe(make_run(runs, "a", epochs_done=1), after(phase)) == phase


@pytest.mark.parametrize("phase", ["running", "paused"])
def test_a_free_lock_under_a_log_that_has_not_ended_means_a_kill(runs: Path, phase: str) -> None:
    assert observe(make_run(runs, "a", epochs_done=1), after(phase)) == "dead"


def test_a_held_lock_without_a_heartbeat_means_a_process_that_hangs(runs: Path) -> None:
    run = make_run(runs, "a", epochs_done=1)
    with engine_alive(run):
        late = time.time() - folder.STALLED_AFTER_S - 1
        os.utime(run.engine, (late, late))
        assert observe(run, after("running")) == "stalled"
        run.beat()
        assert observe(run, after("running")) == "running"


def test_a_fresh_folder_is_starting_and_an_old_one_without_an_engine_is_dead(runs: Path) -> None:
    run = folder.create(runs, "a", SearchConfig())
    assert observe(run, RunState()) == "starting"
    with engine_alive(run):
        assert observe(run, RunState()) == "starting"
    fresh = folder.create(runs, "b", SearchConfig())
    os.utime(fresh.config, (LONG_AGO, LONG_AGO))
    assert observe(fresh, RunState()) == "dead"


def test_an_engine_that_died_before_its_first_word_is_dead(runs: Path) -> None:
    run = folder.create(runs, "a", SearchConfig())
    run.write_engine()
    assert observe(run, RunState()) == "dead"


def test_a_new_engine_on_an_ended_run_is_starting(runs: Path) -> None:
    run, state = make_run(runs, "a", epochs_done=1), after("stopped")
    with engine_alive(run):
        assert observe(run, state) == "starting"


def test_an_engine_that_has_said_its_last_word_has_ended_though_it_still_holds_on(
    runs: Path,
) -> None:
    run, state = make_run(runs, "a", epochs_done=1), after("finished")
    with engine_alive(run):
        state.last_t = time.time() + 1
        assert observe(run, state) == "finished"


def test_a_pid_is_believed_only_on_its_own_machine_and_boot(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(runs, "a", epochs_done=1)
    assert not liveness.is_here(run)
    run.write_engine()
    assert liveness.is_here(run)
    monkeypatch.setattr(liveness, "boot_id", lambda: "another boot")
    assert not liveness.is_here(run)
