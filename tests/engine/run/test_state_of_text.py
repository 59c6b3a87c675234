"""The fold of runs on text, whose epochs differ in their number of steps."""

import msgspec
import pytest
from stories.recurrent import AVERAGING_FROM, steps_of, text_events

from darts_engine.run import events
from darts_engine.run.events import AnyEvent
from darts_engine.run.state import RunState, fold, fold_all, score


def end_of(epoch: int) -> int:
    return sum(steps_of(e) for e in range(1, epoch + 1))


@pytest.mark.parametrize("kind", ["search", "train"])
def test_progress_rises_evenly_and_is_whole_at_the_end_of_every_epoch(kind: str) -> None:
    state, before = RunState(), 0.0
    for event in text_events(kind=kind, epochs=6, phase="finished"):
        fold(state, event)
        assert before <= state.epochs_done <= before + 1 / 28 + 1e-9
        before = state.epochs_done
        if isinstance(event, events.EpochFinished):
            assert state.epochs_done == event.epoch
            assert state.progress == event.epoch / 6
    assert state.progress == 1.0
    assert state.eta_s is None


def test_steps_stand_on_an_axis_of_epochs_by_their_own_epoch() -> None:
    state = fold_all(text_events(epochs_done=3))
    assert state.epochs_at([end_of(1), end_of(2), end_of(3)]) == [1.0, 2.0, 3.0]
    first, second = end_of(1) + 7, end_of(3) + 6
    assert state.epochs_at([first, second]) == [1 + 7 / steps_of(2), 3 + 6 / steps_of(4)]
    places = state.epochs_at(state.train_loss.x)
    assert places == sorted(places)
    assert places[-1] == state.epochs_done
    assert RunState().epochs_at([3.0]) == [3.0]


def test_the_best_epoch_has_the_lowest_perplexity_and_the_first_of_equal_ones_counts() -> None:
    state = fold_all(text_events(kind="train"))
    assert state.best is not None
    lowest = min(e.valid_perplexity or 0.0 for e in state.epochs)
    assert state.best.valid_perplexity == lowest
    equal = [msgspec.structs.replace(e, valid_perplexity=7.0) for e in state.epochs]
    state.epochs = [msgspec.structs.replace(equal[0], valid_perplexity=None), *equal[1:]]
    assert state.best is state.epochs[1]
    assert score(state.epochs[0]) is None
    assert score(msgspec.structs.replace(equal[0], valid_top1=97.0)) == 97.0


def gone_back(story: list[AnyEvent], epoch: int, step: int) -> RunState:
    """The state right after the run has gone back to this step."""
    to_step = end_of(epoch - 1) + step
    last = next(e for e in story if getattr(e, "global_step", 0) == to_step)
    rewound = events.Rewound(
        seq=story[-1].seq + 1, to_seq=last.seq, to_step=to_step, to_epoch=epoch, checkpoint="x"
    )
    return fold_all([*story, rewound])


def test_a_rewind_finds_its_step_in_the_epoch() -> None:
    story = text_events(kind="train")
    for epoch, step in ((1, 4), (3, 1), (17, steps_of(17)), (23, 12)):
        state = gone_back(story, epoch, step)
        assert (state.epoch, state.step) == (epoch, step)


def test_averaging_is_known_from_its_first_epoch_and_undone_by_a_rewind_before_it() -> None:
    story = text_events(kind="train")
    assert fold_all(story).averaging_from == AVERAGING_FROM
    assert fold_all(text_events()).averaging_from is None
    assert gone_back(story, AVERAGING_FROM + 2, 3).averaging_from == AVERAGING_FROM
    state = gone_back(story, AVERAGING_FROM - 1, 3)
    assert state.averaging_from is None
    again = events.EpochStarted(epoch=18, steps=9, schedules={"averaging": 1.0})
    assert fold(state, again).averaging_from == 18
