"""Every method and both kinds of training, killed after the first checkpoint, end as if they never
were: the final weights, alphas, genotype and figures of all epochs are the same bits.

The suite kills a few; `make faults` kills five hundred, and at every system call of a save.
"""

import functools
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from effort import draws, times
from engine_kit import Engine, events_in, of_type, outcome
from kill_kit import (
    SUBJECTS,
    die_in_a_save,
    kill_after_a_checkpoint,
    new_run,
    nothing_saved_was_lost,
    undisturbed,
)

from darts_engine.run import events
from darts_engine.run.folder import RunFolder

# Its state holds more than tensors: the edges that are decided.
FEW = ("sgas",)
IN_FULL = times(0, full=1)
KILLS = times(1, full=-(-500 // len(SUBJECTS)))
EPOCHS = 4
# From the first system call of a save to well behind its end.
CALLS = range(1, 41)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(times(120, full=3600))]


@pytest.mark.parametrize("subject", SUBJECTS if IN_FULL else FEW)
def test_it_ends_bit_identical_however_often_it_was_killed(
    subject: str, tmp_path: Path, runs: Path, start: Callable[[RunFolder], Engine]
) -> None:
    make = functools.partial(new_run, subject=subject, epochs=EPOCHS)
    expected = undisturbed(tmp_path, subject, EPOCHS)
    for run in kill_after_a_checkpoint(make, KILLS, runs, start, draws(subject)):
        nothing_saved_was_lost(run)
        rewound = of_type(events_in(run), events.Rewound)
        assert outcome(run) == expected, f"{run.path} went back to {rewound}"


def test_a_kill_at_any_system_call_of_a_save_loses_no_checkpoint(
    tmp_path: Path, runs: Path, start: Callable[..., Engine]
) -> None:
    expected = undisturbed(tmp_path, "darts", 3)
    calls = list(CALLS) if IN_FULL else sorted(draws("calls").sample(CALLS, 2))
    number = 0
    while calls:
        folder = runs / str(number)
        folder.mkdir()
        run, number = new_run(folder, "darts", 3), number + 1
        while calls:
            code = start(run, functools.partial(die_in_a_save, calls[0])).wait()
            if code == 0:
                break
            assert code == -signal.SIGKILL
            calls.pop(0)
        assert start(run).wait() == 0
        assert not list(run.path.rglob("*.tmp.*"))
        nothing_saved_was_lost(run)
        assert outcome(run) == expected
