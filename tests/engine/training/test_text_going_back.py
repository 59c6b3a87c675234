"""A training on text whose numbers cease to be finite goes back, and ends all the same."""

import functools
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_kit import Engine, events_in, of_type, outcome, state_of
from text_kit import make_text_run

from darts_engine.run import commands, events
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import EventLog
from darts_engine.runner.meter import FiniteGuard
from darts_engine.training.text_task import TrainText

Start = Callable[..., Engine]
# Around the event that tells of it, around the log line and the checkpoint that follow.
MOMENTS = (0, 1, 3, 4)


def spoil(epoch: int, times: int) -> None:
    """For `prepare`: the loss of an epoch's third step is no number in the first so many tries."""
    take_step = TrainText._weight_step

    def spoiled_step(self: TrainText, inputs: Any, targets: Any, here: Any, *at: int) -> None:
        if at == (epoch, 3) and self.state()["tries"] < times:
            self._hidden = self._hidden * math.nan
        take_step(self, inputs, targets, here, *at)

    TrainText._weight_step = spoiled_step  # type: ignore[method-assign]


def spoil_and_die(moment: int) -> None:
    """For `prepare`: killed around an event from the second time on that it goes back."""
    spoil(4, 2)
    append = EventLog.append
    returns = passed = 0

    def append_or_die(self: EventLog, event: Any) -> bool:
        nonlocal returns, passed
        returns += isinstance(event, events.Rewound) and bool(event.reason)
        for before in (True, False):
            if returns == 2:
                if passed == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                passed += 1
            if before:
                written = append(self, event)
        return written

    EventLog.append = append_or_die  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    run = make_text_run(tmp_path_factory.mktemp("runs"), "spoiled", train__epochs=5)
    assert Engine(run, functools.partial(spoil, 4, 2)).wait() == 0
    history = events_in(run)
    rewound = of_type(history, events.Rewound)
    assert all("not a finite number" in event.reason for event in rewound)
    # A better epoch in between begins the count of the tries anew.
    *_, first, second = [
        e.message for e in of_type(history, events.LogWritten) if "try" in e.message
    ]
    assert "try 1" in first
    assert "try 2" in second
    assert rewound[-1].to_epoch == rewound[-2].to_epoch
    assert [epoch.epoch for epoch in state_of(run).epochs] == [1, 2, 3, 4, 5]
    return outcome(run)


def test_it_goes_back_twice_and_ends(undisturbed: tuple[object, ...]) -> None:
    _, genotype, figures = undisturbed
    assert genotype.startswith("Genotype(recurrent=")  # type: ignore[attr-defined]
    assert len(figures) == 5  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_it_goes_back_it_ends_bit_identical(
    moment: int, runs: Path, start: Start, undisturbed: tuple[object, ...]
) -> None:
    run = make_text_run(runs, "spoiled", train__epochs=5)
    assert start(run, functools.partial(spoil_and_die, moment)).wait() == -signal.SIGKILL
    assert start(run, functools.partial(spoil, 4, 2)).wait() == 0
    assert outcome(run) == undisturbed


def test_it_gives_up_with_three_lines(runs: Path, start: Start) -> None:
    run = make_text_run(runs, "hopeless")
    assert start(run, functools.partial(spoil, 2, 100)).wait() == ExitCode.NOT_FINITE
    assert len(of_type(events_in(run), events.Rewound)) == 3
    failed = events_in(run)[-1]
    assert isinstance(failed, events.RunFailed)
    what, where, remedy = failed.message.split("\n")
    assert what.endswith("also after 3 returns to the end of epoch 1")
    assert where == "the training loss, at or before epoch 2, step 3"
    assert "--lr" in remedy


def notice_late_and_stop(run: RunFolder) -> None:
    """For `prepare`: as on a GPU, where a number is looked at when a state is saved.

    The command to stop comes in the step whose numbers are not finite.
    """
    spoil(2, 1)
    make_guard, take_step = FiniteGuard.__init__, TrainText._weight_step

    def make_late_guard(self: FiniteGuard, device: Any) -> None:
        make_guard(self, device)
        self._immediately = False

    def step_and_send(self: TrainText, inputs: Any, targets: Any, here: Any, *at: int) -> None:
        take_step(self, inputs, targets, here, *at)
        if at == (2, 3):
            run.send(commands.Stop(id="s"))

    FiniteGuard.__init__ = make_late_guard  # type: ignore[method-assign]
    TrainText._weight_step = step_and_send  # type: ignore[method-assign]


def test_a_command_to_stop_is_not_forgotten_while_it_goes_back(runs: Path, start: Start) -> None:
    run = make_text_run(runs, "late")
    assert start(run, functools.partial(notice_late_and_stop, run)).wait() == 0
    assert len(of_type(events_in(run), events.Rewound)) == 1
    stopped = events_in(run)[-1]
    assert isinstance(stopped, events.RunStopped)
    assert stopped.epoch == 1
    assert start(run).wait() == 0
    assert [epoch.epoch for epoch in state_of(run).epochs] == [1, 2, 3, 4]
