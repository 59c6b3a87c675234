"""The machine's clock is set by hours, back or forward: nothing is called dead, late or endless."""

import os
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from desk_kit import Desk  # noqa: E402
from engine_kit import events_in, of_type  # noqa: E402
from fake_run import engine_alive, make_run  # noqa: E402
from fake_story import made_up_events  # noqa: E402

from darts_engine.run import events  # noqa: E402
from darts_engine.run.folder import RunFolder  # noqa: E402
from darts_engine.run.liveness import Pulse, observe  # noqa: E402
from darts_engine.run.log import (  # noqa: E402
    EventLog,
    steady,
)
from darts_engine.run.state import RunState, fold_all  # noqa: E402

HOUR_S, DAY_S = 3600.0, 86400.0
JUMPS = (HOUR_S, -HOUR_S, DAY_S, -DAY_S)


class SetClock:
    """The machine's clock, which can be set; what counts elapsed time does not notice."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._real, self.offset = time.time, 0.0
        patch.setattr(time, "time", self)

    def __call__(self) -> float:
        return self._real() + self.offset

    def beat(self, run: RunFolder) -> None:
        """What the kernel notes as the time of a heartbeat now."""
        os.utime(run.engine, (self(), self()))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return SetClock(monkeypatch)


def running() -> RunState:
    return fold_all(made_up_events(epochs_done=1, epochs=2, phase="running"))


@pytest.mark.parametrize("jump", JUMPS)
def test_a_watched_engine_is_not_stalled_because_the_clock_was_set(
    runs: Path, clock: SetClock, jump: float
) -> None:
    run, passed = make_run(runs, "one", epochs_done=1, epochs=2), [0.0]
    state, pulse = running(), Pulse(run, lambda: passed[0])
    with engine_alive(run):
        clock.beat(run)
        assert observe(run, state, pulse) == "running"
        clock.offset = jump
        # The next heartbeat comes within a second; nothing may be said before it.
        passed[0] += 0.9
        assert observe(run, state, pulse) == "running"
        assert pulse.age_s() == pytest.approx(0.9, abs=0.2)
        clock.beat(run)
        assert observe(run, state, pulse) == "running"
        # An engine that hangs now is found out, wherever its last heartbeat lies.
        passed[0] += 14.0
        assert observe(run, state, pulse) == "running"
        passed[0] += 2.0
        assert observe(run, state, pulse) == "stalled"
        clock.beat(run)
        assert observe(run, state, pulse) == "running"


def test_a_file_server_whose_clock_is_wrong_makes_no_engine_stalled(
    runs: Path, clock: SetClock
) -> None:
    run, passed = make_run(runs, "one", epochs_done=1, epochs=2), [0.0]
    state, pulse = running(), Pulse(run, lambda: passed[0])
    with engine_alive(run):
        for beat in range(3):
            late = clock() - HOUR_S + beat
            os.utime(run.engine, (late, late))
            # Who has looked once only cannot know better.
            assert observe(run, state, pulse) == ("running" if beat else "stalled")
            passed[0] += 1.0


@pytest.mark.parametrize("jump", JUMPS)
def test_an_engine_on_an_ended_run_is_starting_whatever_the_clock_was_set_to(
    tmp_path: Path, clock: SetClock, jump: float
) -> None:
    first = Desk(tmp_path / "run")
    first.log.append(events.RunStopped(epoch=1, step=1, global_step=1, reason="command"))
    first.leave()
    assert observe(first.run, fold_all(events_in(first.run))) == "stopped"
    clock.offset = jump
    second = Desk(first.run.path)
    try:
        assert observe(first.run, fold_all(events_in(first.run))) == "starting"
        second.log.append(events.RunStopped(epoch=1, step=1, global_step=1, reason="command"))
        assert observe(first.run, fold_all(events_in(first.run))) == "stopped"
    finally:
        second.leave()


@pytest.mark.parametrize("jump", JUMPS)
def test_events_keep_their_order_and_durations_their_length(
    runs: Path, clock: SetClock, jump: float
) -> None:
    run = make_run(runs, "one")
    run.events.unlink()
    story = made_up_events(epochs_done=6, epochs=8, phase="running")
    log = EventLog(run.events, run.torn_events)
    began = clock()
    for number, event in enumerate(story):
        if number == len(story) // 2:
            clock.offset = jump
        log.append(event)
    log.close()
    told = events_in(run)
    assert [event.seq for event in told] == list(range(1, len(story) + 1))
    times = [event.t for event in told]
    assert times == sorted(times)
    assert abs(times[0] - began) < 60
    state, undisturbed = fold_all(told), fold_all(story)
    assert 0 <= state.elapsed_s < 60
    assert state.eta_s == undisturbed.eta_s
    assert state.eta_s is not None
    assert state.eta_s > 0


def test_a_steady_clock_begins_with_the_machines_and_counts_what_passes(clock: SetClock) -> None:
    now = steady()
    first = now()
    assert first == pytest.approx(time.time(), abs=5)
    clock.offset = -DAY_S
    assert 0 <= now() - first < 5


@pytest.mark.parametrize("jump", JUMPS)
def test_a_session_saves_and_takes_commands_as_before(
    tmp_path: Path, clock: SetClock, jump: float
) -> None:
    desk = Desk(tmp_path / "run", seconds=HOUR_S)
    try:
        desk.step(1)
        clock.offset = jump
        desk.step(2)
        desk.save(2)
        desk.step(3)
        # A checkpoint is due after an hour that passes, not after one that is set.
        assert len(of_type(events_in(desk.run), events.CheckpointSaved)) == 1
    finally:
        desk.leave()
