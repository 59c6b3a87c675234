"""Storms of signals, also during a save: one order, one exit code, and a whole checkpoint."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from engine_kit import Engine, events_in, make_run, of_type

from darts_engine.run import events
from darts_engine.run.errors import ExitCode
from darts_engine.runner import checkpoint


def save_slowly() -> None:
    """For `prepare`: a disk that takes 50 ms for every fsync, so that signals meet the save."""
    sync = os.fsync

    def sync_slowly(descriptor: int) -> None:
        time.sleep(0.05)
        sync(descriptor)

    os.fsync = sync_slowly


@pytest.mark.parametrize(
    "storm",
    [[signal.SIGTERM] * 50, [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP] * 13],
    ids=["one kind", "mixed"],
)
def test_a_storm_of_signals_during_a_save_ends_the_run_once_and_whole(
    storm: list[signal.Signals], runs: Path, start: Callable[..., Engine]
) -> None:
    run = make_run(runs, "stormy", search__epochs=500, checkpoint__checkpoint_seconds=0.01)
    engine = start(run, save_slowly)
    engine.until(lambda history: of_type(history, events.StepFinished))
    for number in storm:
        engine.send_signal(number)
        time.sleep(0.002)
    code = engine.wait(30)
    (stopped,) = of_type(events_in(run), events.RunStopped)
    expected = {
        "SIGTERM": ExitCode.TERMINATED,
        "SIGINT": ExitCode.INTERRUPTED,
        "SIGUSR1": ExitCode.REQUEUE,
    }
    assert code == expected[stopped.reason]
    newest = checkpoint.read_manifest(checkpoint.newest_first(run)[0])
    checkpoint.load(run, newest)
    assert newest.reason == "stop"
    assert newest.position.global_step == stopped.global_step
