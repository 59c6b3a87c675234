"""The engine as a process: steered by commands and signals, and what it says when it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_kit import (
    Engine,
    events_in,
    hang_in_the_second_step,
    make_run,
    of_type,
    refuse_the_compiler,
    state_of,
    until,
)

from darts_engine.run import commands, events, folder
from darts_engine.run.errors import ExitCode
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder
from darts_engine.runner.inbox import SAME_S

Start = Callable[..., Engine]
LONG = {"search__epochs": 500}


def done(history: list[AnyEvent], name: str) -> bool:
    return any(isinstance(event, events.CommandDone) and event.id == name for event in history)


def test_a_run_is_paused_saved_continued_and_stopped_by_commands(runs: Path, start: Start) -> None:
    run = make_run(runs, "steered", **LONG)
    engine = start(run)
    engine.until(lambda history: of_type(history, events.StepFinished))

    run.send(commands.Pause(id="p"))
    engine.until(lambda history: of_type(history, events.RunPaused))
    beat, length = run.engine.stat().st_mtime_ns, len(events_in(run))
    until(lambda: run.engine.stat().st_mtime_ns > beat, 10)
    assert len(events_in(run)) == length, "something went on in a pause"

    run.send(commands.Checkpoint(id="c"))
    engine.until(lambda history: done(history, "c"))
    (asked,) = [f for f in of_type(events_in(run), events.CheckpointSaved) if f.reason == "command"]
    assert (run.path / asked.path).stat().st_size == asked.size_bytes
    assert asked.global_step == of_type(events_in(run), events.RunPaused)[0].global_step

    with run.commands.open("ab") as file:
        file.write(b"\xff{garbage\n" + b"x" * 10_000 + b"\n")
    engine.until(lambda history: len(of_type(history, events.CommandRejected)) == 2)
    run.send(commands.Resume(id="r"))
    engine.until(lambda history: isinstance(history[-1], events.StepFinished))

    run.send(commands.Stop(id="s"))
    assert engine.wait() == ExitCode.OK
    last = events_in(run)[-1]
    assert isinstance(last, events.RunStopped)
    saved = of_type(events_in(run), events.CheckpointSaved)[-1]
    assert (saved.reason, saved.global_step) == ("stop", last.global_step)
    assert state_of(run).pending == {}

    # The commands of then are not obeyed again, and a hang-up is nothing to an engine.
    engine = start(run)
    engine.until(lambda history: history[-1].seq > last.seq + 4 and events_in(run))
    engine.send_signal(signal.SIGHUP)
    ends_by_signal(engine, signal.SIGTERM, 143)


def ends_by_signal(engine: Engine, number: signal.Signals, code: int) -> None:
    steps = len(of_type(events_in(engine.run), events.StepFinished))
    engine.until(lambda history: len(of_type(history, events.StepFinished)) > steps)
    engine.send_signal(number)
    assert engine.wait(20) == code
    saved, stopped = events_in(engine.run)[-2:]
    assert isinstance(saved, events.CheckpointSaved)
    assert isinstance(stopped, events.RunStopped)
    assert (saved.reason, saved.global_step) == ("stop", stopped.global_step)
    assert stopped.reason == number.name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGUSR1, 75)])
def test_a_signal_saves_and_ends_the_run_with_its_exit_status(
    runs: Path, start: Start, number: signal.Signals, code: int
) -> None:
    ends_by_signal(start(make_run(runs, "signalled", **LONG)), number, code)


def test_the_second_sigterm_ends_an_engine_that_does_not_come_to_a_boundary(
    runs: Path, start: Start
) -> None:
    run = make_run(runs, "hangs", **LONG)
    engine = start(run, hang_in_the_second_step)
    until(lambda: run.engine_log.exists() and "hanging" in run.engine_log.read_text())
    sent_s = 0.0

    def insist() -> bool:
        nonlocal sent_s
        # Signals that follow one another faster are one order.
        if time.monotonic() - sent_s > SAME_S + 0.1:
            engine.send_signal(signal.SIGTERM)
            sent_s = time.monotonic()
        return not engine.is_alive

    until(insist, 20)
    assert engine.wait() == ExitCode.TERMINATED
    assert not of_type(events_in(run), events.RunStopped)


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_run_does_without_torchs_compiler(runs: Path, start: Start, kind: str) -> None:
    """Its import takes as long as the whole import of torch."""
    run = make_run(runs, "plain", kind, images=64, **{f"{kind}__epochs": 1})
    assert start(run, refuse_the_compiler).wait() == 0


def python_engine(*arguments: object, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "darts_engine", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.slow
def test_the_module_runs_a_search_to_its_end(runs: Path) -> None:
    run = make_run(runs, "whole", search__epochs=1)
    ended = python_engine(run.path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    state = state_of(run)
    assert (state.phase, state.epoch) == ("finished", 1)
    assert {p.stat().st_mode & 0o777 for p in run.path.rglob("*") if p.is_file()} == {0o600}


def test_a_wrong_argument_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    assert python_engine().returncode == ExitCode.USAGE
    ended = python_engine(tmp_path)
    assert ended.returncode == ExitCode.NOT_FOUND
    assert "no run folder" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_second_engine_is_refused_naming_the_first(runs: Path) -> None:
    run = make_run(runs, "busy")
    lock = run.take_lock()
    try:
        run.write_engine()
        before = run.engine.read_bytes()
        ended = python_engine(run.path, timeout=20)
    finally:
        os.close(lock)
    assert ended.returncode == ExitCode.BUSY
    assert f"pid {os.getpid()} on" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 3
    assert (run.engine.read_bytes(), run.events.exists()) == (before, False)


FAULTS = {
    "no such data": ("search", "data.dataset", "npz:nowhere.npz", ExitCode.REFUSED),
    "unknown space": ("search", "space.space", "dorts", ExitCode.NOT_FOUND),
    "bad genotype": ("train", "network.genotype", "__import__('os')", ExitCode.REFUSED),
    "no such device": ("search", "engine.device", "cuda:99", ExitCode.USAGE),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_users_is_an_event_of_three_lines(
    runs: Path, start: Start, fault: str
) -> None:
    kind, key, value, code = FAULTS[fault]
    run = make_run(runs, "faulty", kind, **{key: value})
    fails_in_three_lines(run, start(run), code)


def test_a_config_that_was_edited_wrongly_is_an_event_of_three_lines(
    runs: Path, start: Start
) -> None:
    run = make_run(runs, "edited")
    run.config.write_text(run.config.read_text().replace("batch_size", "batch_sice"))
    assert "did you mean 'data.batch_size'?" in fails_in_three_lines(run, start(run), 2)


def fails_in_three_lines(run: RunFolder, engine: Engine, code: int) -> str:
    assert engine.wait() == code
    failed = events_in(run)[-1]
    assert isinstance(failed, events.RunFailed)
    assert failed.exit_code == code
    assert 1 <= len(failed.message.splitlines()) <= 3
    assert "Traceback" not in failed.message + run.engine_log.read_text()
    return failed.message


def test_a_folder_in_place_of_a_file_is_told_without_a_traceback(tmp_path: Path) -> None:
    run = folder.create(tmp_path, "odd", make_run(tmp_path, "model").read_config())
    run.engine.mkdir()
    ended = python_engine(run.path)
    assert ended.returncode == ExitCode.REFUSED
    assert "engine.json is a folder" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("redirected", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_an_engine_runs_without_standard_streams(runs: Path, redirected: str) -> None:
    run = make_run(runs, "bare", images=64, search__epochs=1)
    command = ["sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-m", "darts_engine"]
    assert subprocess.run([*command, str(run.path)], timeout=60).returncode == 0
    assert state_of(run).phase == "finished"
    assert not (run.path / "engine.log").exists()
