"""Ranks that wait in a pause hear from rank 0, however long it lasts; and small refusals."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine_kit import Engine, events_in, make_run, of_type
from parallel_kit import (
    on_ranks,
    pause_longer_than_the_patience,
    wait_for_a_rank_that_hangs,
)

from darts_engine.compute import parallel
from darts_engine.compute.ranks import Place
from darts_engine.run import commands, events
from darts_engine.run.errors import ConfigError, ExitCode
from darts_engine.run.folder import RunFolder


@pytest.mark.slow
def test_a_pause_may_last_longer_than_ranks_are_patient(tmp_path: Path) -> None:
    leading, following = on_ranks(pause_longer_than_the_patience, str(tmp_path), patience_s=3)
    assert leading == "paused for 5 s"
    assert following == "went on, saved 1 times"


@pytest.mark.slow
def test_a_rank_that_does_not_answer_is_given_up_after_their_patience() -> None:
    waiting, _ = on_ranks(wait_for_a_rank_that_hangs, patience_s=3)
    what, _, remedy = waiting.splitlines()
    assert what == "another process of the run died or does not answer"
    assert "resume" in remedy


def test_a_batch_too_small_to_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="a batch of 6 images is too small for 4 processes"):
        parallel.join(Place(0, 4, 0, 4), torch.device("cpu"), 6)


def test_a_world_of_one_says_and_hears_nothing() -> None:
    world = parallel.join(Place(), torch.device("cpu"), 2)
    tensor = torch.ones(3)
    world.sum_([tensor])
    assert (world, tensor.tolist()) == (parallel.World(), [1.0, 1.0, 1.0])
    assert world.of_rank_0(True)


@pytest.mark.parametrize("arguments", ["", "x --nproc", "x --nproc 0", "x y 2"])
def test_the_engine_tells_how_it_is_used(arguments: str) -> None:
    from darts_engine.__main__ import main

    assert main(arguments.split()) == ExitCode.USAGE


@pytest.mark.slow
def test_two_processes_pause_and_go_on_by_commands_as_one_does(runs: Path) -> None:
    run = make_run(runs, "steered", search__epochs=500)
    engine = Engine(run, nproc=2)
    try:
        engine.until(lambda history: of_type(history, events.StepFinished))
        for command, event in [
            (commands.Discretise(id="d"), events.GapMeasured),
            (commands.Pause(id="p"), events.RunPaused),
            (commands.Checkpoint(id="c"), events.CheckpointSaved),
            (commands.Resume(id="r"), events.RunContinued),
            (commands.Stop(id="s"), events.RunStopped),
        ]:
            run.send(command)
            engine.until(lambda history, event=event: of_type(history, event))
        assert engine.wait(30) == ExitCode.OK
    finally:
        engine.kill()
    assert run.engine_log.read_text() == ""


@pytest.mark.slow
def test_the_command_line_starts_several_processes(tmp_path: Path) -> None:
    small = "--epochs 1 --channels 2 --layers 3 --nodes 1 --batch-size 256 --threads 1"
    command = [sys.executable, "-m", "darts_tui", "search", "--name", "two", "--nproc", "2"]
    ended = subprocess.run(
        [*command, *small.split(), "--runs", str(tmp_path), "--progress", "plain"],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stderr
    run = RunFolder(tmp_path / "two")
    assert isinstance(events_in(run)[-1], events.RunFinished)
    assert not run.is_locked()
