"""A run that is killed ends exactly as one that never was; `test_kills.py` kills many more."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from effort import draws
from engine_kit import Engine, events_in, make_run, newest_state, of_type, outcome
from kill_kit import kill_somewhere, new_run, nothing_saved_was_lost, undisturbed

from darts_engine.run import events
from darts_engine.run.folder import RunFolder


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], object]:
    """What a run of a kind and length comes to when it is left alone; made once."""

    @functools.cache
    def of(subject: str, epochs: int) -> object:
        return undisturbed(tmp_path_factory.mktemp("runs"), subject, epochs)

    return of


@pytest.mark.parametrize(
    ("subject", "epochs"),
    [
        ("darts", 3),
        pytest.param("train", 3, marks=pytest.mark.slow),
        pytest.param("sam", 6, marks=pytest.mark.slow),
        # The last two have averaged weights.
        pytest.param("text", 5, marks=pytest.mark.slow),
        ("search-on-text", 3),
        pytest.param("search-on-text-2nd", 3, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_bit_identical_to_an_undisturbed_one(
    subject: str,
    epochs: int,
    runs: Path,
    start: Callable[[RunFolder], Engine],
    left_alone: Callable[[str, int], object],
) -> None:
    run = new_run(runs, subject, epochs)
    stochastic = draws(subject)
    for _ in range(2):
        kill_somewhere(start(run), stochastic)
    assert start(run).wait() == 0
    rewound = of_type(events_in(run), events.Rewound)
    resumed = [s for s in of_type(events_in(run), events.RunStarted) if s.resumed_at_step]
    assert rewound or resumed, "it never went on, so nothing was proved"
    nothing_saved_was_lost(run)
    assert outcome(run) == left_alone(subject, epochs), f"it went back to {rewound}"
    assert subject != "text" or newest_state(run)["averaged_steps"], "it never averaged"


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_its_first_epoch_begins_again(
    runs: Path, start: Callable[[RunFolder], Engine], left_alone: Callable[[str, int], object]
) -> None:
    run = new_run(runs, "darts", 3)
    engine = start(run)
    engine.until(lambda history: of_type(history, events.StepFinished))
    engine.kill()
    assert start(run).wait() == 0
    assert len(of_type(events_in(run), events.Rewound)) == 1
    assert outcome(run) == left_alone("darts", 3)


def test_a_finished_run_that_is_started_again_says_the_same_end(
    runs: Path, start: Callable[[RunFolder], Engine]
) -> None:
    run = make_run(runs, "twice", search__epochs=1)
    for _ in range(2):
        assert start(run).wait() == 0
    first, second = of_type(events_in(run), events.RunFinished)
    for name in ("text", "train_top1", "valid_top1", "best_top1", "best_epoch"):
        assert getattr(first, name) == getattr(second, name), name
