"""A dashboard beside an engine that bursts, freezes or is killed.

The burst lasts a second, and with --full the ten of the bar.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake_run
import msgspec
import pytest
from dashboard_kit import a_run, story, until, watching
from effort import times
from engine_kit import FAKE_ENGINE
from engine_kit import until as wait_until

from darts_engine.run import events
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import EventLog
from darts_tui.dashboard.app import DashboardApp

EVENTS_PER_SECOND = 5000
# The bars are 0.1 s for a key and 0.5 s for the last value. Here it is the processor's time that
# counts: a busy machine makes all things late.
KEY_CPU_S, LAST_CPU_S = 0.1, 0.5


def burst(log: EventLog, like: events.StepFinished) -> None:
    seconds = times(1, full=10)
    began, written = time.monotonic(), 0
    while written < EVENTS_PER_SECOND * seconds:
        while written < min(seconds, time.monotonic() - began) * EVENTS_PER_SECOND:
            written += 1
            step = like.global_step + written
            log.append(msgspec.structs.replace(like, step=written, global_step=step))
        time.sleep(0.002)


async def test_keys_are_answered_in_a_burst_of_events_and_the_last_one_is_shown(runs: Path):
    history = story(epochs_done=1)
    like = [event for event in history if isinstance(event, events.StepFinished)][-1]
    with a_run(runs, epochs_done=1) as run:
        log = EventLog(run.events, run.torn_events)
        async with watching(run, history) as (app, pilot):
            writer = threading.Thread(target=burst, args=(log, like))
            writer.start()
            spent: list[float] = []
            while writer.is_alive():
                for key, tab in (("2", "alpha"), ("1", "overview")):
                    began = time.thread_time()
                    app.simulate_key(key)
                    await until(pilot, lambda tab=tab: app.dashboard.tab == tab)
                    spent.append(time.thread_time() - began)
            began = time.process_time()
            await until(pilot, lambda: app.state.last_seq == log.last_seq and not app._dirty)
            assert time.process_time() - began < LAST_CPU_S
            assert sorted(spent)[len(spent) // 2] < KEY_CPU_S
            assert app.state.global_step == like.global_step + EVENTS_PER_SECOND * times(1, full=10)


async def test_an_engine_is_stalled_while_it_stands_still_and_dead_when_it_is_killed(
    runs: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("darts_engine.run.liveness.STALLED_AFTER_S", 1.0)
    run = fake_run.make_run(runs, "one")
    run.events.unlink()
    with subprocess.Popen([sys.executable, str(FAKE_ENGINE), "deaf", str(run.path)]) as engine:
        try:
            wait_until(lambda: recorded(run) == engine.pid)
            app = DashboardApp(run)
            async with app.run_test(size=(120, 36)) as pilot:
                engine.send_signal(signal.SIGSTOP)
                await until(pilot, lambda: app.view().live == "stalled")
                os.utime(run.engine)
                await until(pilot, lambda: app.view().live == "running")
                engine.kill()
                killed = time.monotonic()
                await until(pilot, lambda: app.view().live not in ("running", "stalled"))
                assert app.view().live == "dead"
                assert time.monotonic() - killed < 3
        finally:
            engine.kill()


def recorded(run: RunFolder) -> int:
    """The pid of the engine that holds a run, or 0."""
    record = run.read_engine()
    return record.pid if record else 0
