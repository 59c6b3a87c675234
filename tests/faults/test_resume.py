"""A run that is killed again and again ends exactly as one that never was."""

import functools
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_kit import Engine, die_at_rename, events_in, make_run, of_type, outcome, until

from darts_engine.run import events
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader

# A training whose step has two passes, random masks, and weights of which an average is kept.
SHARP = {
    "network__network": "wrn-10-1",
    "network__dropout": 0.2,
    "weights__sam_rho": 0.1,
    "weights__ema": 0.9,
    "train__label_smoothing": 0.1,
}


def new_run(runs: Path, kind: str, epochs: int) -> RunFolder:
    settings = SHARP if kind == "sharp" else {}
    true_kind = "train" if kind == "sharp" else kind
    settings = settings | {f"{true_kind}__epochs": epochs, "checkpoint__checkpoint_seconds": 0.2}
    return make_run(runs, kind, true_kind, **settings)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], object]:
    """What a run of a kind and length comes to when it is left alone; made once."""

    @functools.cache
    def of(kind: str, epochs: int) -> object:
        run = new_run(tmp_path_factory.mktemp("runs"), kind, epochs)
        assert Engine(run).wait() == 0
        return outcome(run)

    return of


def kill_somewhere(engine: Engine, stochastic: random.Random) -> None:
    """Kill at a random event, just after a checkpoint, or a random moment after either."""
    story = LogReader(engine.run.events)
    story.read()
    wanted, kind = stochastic.choice(
        [
            (stochastic.randint(1, 3), events.CheckpointSaved),
            (stochastic.randint(8, 20), events.Event),
        ]
    )
    seen = 0

    def is_time() -> bool:
        nonlocal seen
        seen += len(of_type(story.read(), kind))
        return seen >= wanted or not engine.is_alive

    until(is_time)
    moment = time.monotonic() + stochastic.choice([0.0, stochastic.uniform(0, 0.15)])
    until(lambda: time.monotonic() >= moment)
    engine.kill()


def nothing_saved_was_lost(run: RunFolder) -> None:
    """Every engine went on from the last checkpoint that was told of, or from a newer one."""
    saved = 0
    for event in events_in(run):
        if isinstance(event, events.CheckpointSaved):
            saved = event.global_step
        elif isinstance(event, events.Rewound):
            assert event.to_step >= saved, event


def killed(run: RunFolder, kills: int, seed: int, start: Callable[[RunFolder], Engine]) -> None:
    stochastic = random.Random(seed)
    for _ in range(kills):
        kill_somewhere(start(run), stochastic)
    assert start(run).wait() == 0


# Many engines one after the other, on a machine that is busy with other tests.
LONG = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("kind", "kills", "epochs"),
    [
        ("search", 2, 3),
        pytest.param("train", 1, 3, marks=pytest.mark.slow),
        pytest.param("sharp", 1, 6, marks=pytest.mark.slow),
        pytest.param("search", 5, 3, marks=LONG),
        pytest.param("train", 5, 3, marks=LONG),
        pytest.param("sharp", 3, 6, marks=LONG),
    ],
)
def test_a_killed_run_ends_bit_identical_to_an_undisturbed_one(
    kind: str,
    kills: int,
    epochs: int,
    runs: Path,
    start: Callable[[RunFolder], Engine],
    undisturbed: Callable[[str, int], object],
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    run = new_run(runs, kind, epochs)
    killed(run, kills, seed, start)
    rewound = of_type(events_in(run), events.Rewound)
    resumed = [s for s in of_type(events_in(run), events.RunStarted) if s.resumed_at_step]
    assert rewound or resumed, f"it never went on, so nothing was proved; seed {seed}"
    nothing_saved_was_lost(run)
    assert outcome(run) == undisturbed(kind, epochs), f"seed {seed}; went back to {rewound}"


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_its_first_epoch_begins_again(
    runs: Path, start: Callable[[RunFolder], Engine], undisturbed: Callable[[str, int], object]
) -> None:
    run = new_run(runs, "search", 3)
    engine = start(run)
    engine.until(lambda history: of_type(history, events.StepFinished))
    engine.kill()
    assert start(run).wait() == 0
    assert len(of_type(events_in(run), events.Rewound)) == 1
    assert outcome(run) == undisturbed("search", 3)


@pytest.mark.slow
def test_a_run_killed_at_every_rename_of_its_checkpoints_loses_none_it_had(
    runs: Path,
    start: Callable[..., Engine],
    undisturbed: Callable[[str, int], object],
) -> None:
    run = new_run(runs, "search", 3)
    # The first rename is engine.json's; two make a checkpoint.
    for number in range(1, 8):
        assert start(run, functools.partial(die_at_rename, number)).wait() == -signal.SIGKILL
        assert list(run.path.rglob("*.tmp.*")), "it did not die in the middle of a write"
    assert start(run).wait() == 0
    assert not list(run.path.rglob("*.tmp.*"))
    nothing_saved_was_lost(run)
    assert outcome(run) == undisturbed("search", 3)


def test_a_finished_run_that_is_started_again_says_the_same_end(
    runs: Path, start: Callable[[RunFolder], Engine]
) -> None:
    run = make_run(runs, "twice", search__epochs=1)
    for _ in range(2):
        assert start(run).wait() == 0
    first, second = of_type(events_in(run), events.RunFinished)
    for name in ("text", "train_top1", "valid_top1", "best_top1", "best_epoch"):
        assert getattr(first, name) == getattr(second, name), name
