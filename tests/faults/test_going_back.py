"""A search that goes back, killed at any moment of it, ends as one that never was disturbed."""

import functools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_kit import (
    Engine,
    events_in,
    make_run,
    outcome,
    rise_and_die,
    rise_until_decayed,
    state_of,
    until,
)

from darts_engine.run import commands, events
from darts_engine.run.folder import RunFolder
from darts_engine.search.task import Search

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Start = Callable[..., Engine]
# Before and after its event and the alert, before two renames, around the event of the checkpoint
# and of the epoch, and some way into that.
MOMENTS = range(12)


def new_run(runs: Path) -> RunFolder:
    few = {"checkpoint__keep": 1, "checkpoint__checkpoint_every": 3, "engine__memory_check": False}
    small = {"data__batch_size": 32, "search__epochs": 6}
    return make_run(runs, "ada", images=64, search__method="r-darts-ada", **small, **few)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    run = new_run(tmp_path_factory.mktemp("runs"))
    assert Engine(run, rise_until_decayed).wait() == 0
    return outcome(run)


def die_before_epoch_5() -> None:
    """For `prepare`: killed before the first step of the epoch that is the first to go back."""
    rise_until_decayed()
    begin = Search.begin_epoch

    def begin_or_die(self: Search, epoch: int) -> dict[str, float]:
        if epoch == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return begin(self, epoch)

    Search.begin_epoch = begin_or_die  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def almost_back(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was killed before the epoch that is the first to go back; tests copy it."""
    run = new_run(tmp_path_factory.mktemp("runs"))
    assert Engine(run, die_before_epoch_5).wait() == -signal.SIGKILL
    return run


def ends_well(run: RunFolder, undisturbed: object) -> None:
    assert outcome(run) == undisturbed
    state = state_of(run)
    assert [epoch.epoch for epoch in state.epochs] == [1, 2, 3, 4, 5, 6]
    assert state.started is not None
    (decay,) = [s.values for s in state.started.schedules if s.name == "weight_decay"]
    assert decay == pytest.approx([3e-4] * 2 + [0.03] * 4)


@pytest.mark.parametrize(
    ("rollback", "moment"),
    [
        *((1, moment) for moment in MOMENTS),
        *((2, moment) for moment in MOMENTS[1::4]),
    ],
)
def test_killed_at_any_moment_of_going_back_it_ends_bit_identical(
    rollback: int,
    moment: int,
    runs: Path,
    start: Start,
    undisturbed: object,
    almost_back: RunFolder,
) -> None:
    run = RunFolder(shutil.copytree(almost_back.path, runs / "ada"))
    killer = functools.partial(rise_and_die, rollback, moment)
    assert start(run, killer).wait() == -signal.SIGKILL
    assert start(run, rise_until_decayed).wait() == 0
    ends_well(run, undisturbed)


@pytest.mark.parametrize("kills", [2, 4])
def test_killed_at_random_it_ends_bit_identical(
    kills: int, runs: Path, start: Start, undisturbed: object
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    draws = random.Random(seed)
    run = new_run(runs)
    for _ in range(kills):
        engine = start(run, rise_until_decayed)
        wanted = len(events_in(run)) + draws.randint(8, 40)
        until(lambda: len(events_in(run)) >= wanted or not engine.is_alive)  # noqa: B023
        moment = time.monotonic() + draws.uniform(0, 0.15)
        until(lambda: time.monotonic() >= moment)  # noqa: B023
        engine.kill()
    assert start(run, rise_until_decayed).wait() == 0
    assert outcome(run) == undisturbed, f"seed {seed}"


def send_stop_in_epoch_5(run: RunFolder) -> None:
    rise_until_decayed()
    begin = Search.begin_epoch

    def begin_and_send(self: Search, epoch: int) -> dict[str, float]:
        if epoch == 5:
            run.send(commands.Stop(id="s", after_epoch=True))
        return begin(self, epoch)

    Search.begin_epoch = begin_and_send  # type: ignore[method-assign]


def test_stopped_after_the_epoch_that_goes_back_it_goes_on_from_where_it_is(
    runs: Path, start: Start, undisturbed: object
) -> None:
    run = new_run(runs)
    assert start(run, functools.partial(send_stop_in_epoch_5, run)).wait() == 0
    stopped = events_in(run)[-1]
    assert isinstance(stopped, events.RunStopped)
    assert stopped.epoch == 3
    assert start(run, rise_until_decayed).wait() == 0
    ends_well(run, undisturbed)
