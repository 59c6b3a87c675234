"""A run of several processes ends well when one of them dies, and goes on with any number."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from engine_kit import Engine, events_in, make_run, of_type, until

from darts_engine.run import commands, events
from darts_engine.run.errors import ExitCode

LONG = {"search__epochs": 500, "checkpoint__checkpoint_seconds": 0.5}


def rank_1_of(engine: Engine) -> psutil.Process:
    (other,) = psutil.Process(engine.pid).children()
    return other


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_a_dead_rank_fails_the_run_and_one_process_takes_it_up(runs: Path) -> None:
    run = make_run(runs, "shared", **LONG)
    engine = Engine(run, nproc=2)
    try:
        engine.until(lambda history: of_type(history, events.CheckpointSaved))
        os.kill(rank_1_of(engine).pid, signal.SIGKILL)
        assert engine.wait(60) == ExitCode.FAILED
    finally:
        engine.kill()
    failed = events_in(run)[-1]
    assert isinstance(failed, events.RunFailed)
    what, where, remedy = failed.message.splitlines()
    assert what == "another process of the run died or does not answer"
    assert "engine.log" in where
    assert "resume" in remedy
    assert not run.is_locked()

    saved = of_type(events_in(run), events.CheckpointSaved)[-1]
    engine = Engine(run)
    try:
        engine.until(
            lambda history: [f for f in of_type(history, events.StepFinished) if f.seq > failed.seq]
        )
        run.send(commands.Stop(id="s"))
        assert engine.wait(60) == ExitCode.OK
    finally:
        engine.kill()
    started = of_type(events_in(run), events.RunStarted)[-1]
    assert started.resumed_at_step == saved.global_step
    notes = [f.message for f in of_type(events_in(run), events.LogWritten)]
    assert any(note.startswith("processes was 2 and is 1") for note in notes)


@pytest.mark.slow
def test_a_killed_engine_takes_its_other_ranks_along_and_its_run_is_stopped_whole(
    runs: Path,
) -> None:
    run = make_run(runs, "shared", **LONG)
    engine = Engine(run, nproc=2)
    try:
        engine.until(lambda history: of_type(history, events.StepFinished))
        other = rank_1_of(engine)
        engine.kill()
        until(lambda: has_ended(other), 30)
        assert not run.is_locked()
        engine = Engine(run, nproc=2)
        last = events_in(run)[-1].seq
        engine.until(
            lambda history: [f for f in of_type(history, events.StepFinished) if f.seq > last]
        )
        other = rank_1_of(engine)
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(30) == ExitCode.TERMINATED
        assert isinstance(events_in(run)[-1], events.RunStopped)
        until(lambda: has_ended(other), 10)
    finally:
        engine.kill()


@pytest.mark.slow
def test_torchrun_starts_a_run_too(runs: Path) -> None:
    import subprocess

    run = make_run(runs, "torchrun", search__epochs=2)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "darts_engine", str(run.path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert ended.returncode == 0, ended.stderr
    assert isinstance(events_in(run)[-1], events.RunFinished)
