"""The fold: the same events make the same state, in whatever pieces they come."""

import msgspec
import pytest
from fake_story import made_up_events
from hypothesis import given, settings
from hypothesis import strategies as st

from darts_engine.run import events
from darts_engine.run.events import AnyEvent
from darts_engine.run.state import MAX_NOTES, RunState, fold, fold_all

STORY = made_up_events(epochs_done=5, epochs=8, steps=6, phase="stopped")
KINDS = [
    {"kind": kind, "phase": phase}
    for kind in ("search", "train")
    for phase in ("running", "paused", "finished", "failed", "stopped")
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(STORY)), max_size=4).map(sorted))
def test_folding_in_pieces_is_folding_at_once(cuts: list[int]) -> None:
    state = RunState()
    for start, end in zip([0, *cuts], [*cuts, len(STORY)], strict=True):
        state = fold_all(STORY[start:end], state)
    assert state == fold_all(STORY)


def test_a_replay_up_to_any_event_is_the_state_there_was_then() -> None:
    live = RunState()
    for place, event in enumerate(STORY):
        fold(live, event)
        if place % 7 == 0:
            lines = b"".join(events.encode(event) for event in STORY[: place + 1]).splitlines()
            assert fold_all(map(events.decode, lines)) == live


@pytest.mark.parametrize("ending", KINDS, ids=lambda ending: "-".join(ending.values()))
def test_a_story_ends_in_its_phase(ending: dict[str, str]) -> None:
    state = fold_all(made_up_events(epochs_done=4, epochs=6, steps=3, **ending))  # type: ignore[arg-type]
    finished = ending["phase"] == "finished"
    assert (state.kind, state.phase) == (ending["kind"], ending["phase"])
    assert (state.epoch, state.total_epochs) == (6, 6) if finished else (5, 6)
    assert len(state.epochs) == (6 if finished else 4)
    assert state.progress == (1.0 if finished else pytest.approx(13 / 18))
    assert state.final_genotype() is not None
    assert (state.eta_s is not None) == (ending["phase"] in ("running", "paused"))
    assert state.pending == {}


def _resumed(
    extra: int, checkpoint: events.CheckpointSaved, lost: list[AnyEvent]
) -> list[AnyEvent]:
    """What a second engine says: it takes the lost events back, and starts."""
    start = next(event for event in STORY if isinstance(event, events.RunStarted))
    again = msgspec.structs.replace(
        start, seq=extra + 1, t=lost[-1].t + 60, resumed_at_step=checkpoint.global_step
    )
    rewound = events.Rewound(
        seq=extra,
        t=lost[-1].t + 60,
        # The checkpoint is taken before the event that tells of it.
        to_seq=checkpoint.seq - 1,
        to_step=checkpoint.global_step,
        to_epoch=checkpoint.epoch,
        checkpoint=checkpoint.path,
    )
    return [rewound, again]


REWOUND_PARTS = ["epoch", "step", "global_step", "train_loss", "alpha_loss", "epochs", "alpha",
                 "epoch_alphas", "genotype", "genotypes", "health", "alerts"]  # fmt: skip


@pytest.mark.parametrize("place", range(5))
def test_a_rewind_forgets_exactly_what_came_after_the_checkpoint(place: int) -> None:
    saved = [event for event in STORY if isinstance(event, events.CheckpointSaved)][place]
    known, lost = STORY[: saved.seq], STORY[saved.seq :]
    then = fold_all(known)
    rewound, again = _resumed(len(STORY) + 1, saved, lost)
    now = fold_all([*STORY, rewound])
    assert now.phase == "starting"
    fold(now, again)
    for part in REWOUND_PARTS:
        assert getattr(now, part) == getattr(then, part), part
    assert now.phase == "running"
    assert now.last_seq == len(STORY) + 2

    # Doing the lost work again ends where it ended before.
    last = len(STORY) + 2
    redone = [msgspec.structs.replace(e, seq=last + n) for n, e in enumerate(lost, 1)]
    end, once = fold_all(redone, now), fold_all(STORY)
    assert end.train_loss == once.train_loss
    assert [e.epoch for e in end.epochs] == [e.epoch for e in once.epochs]
    assert [g.genotype for g in end.genotypes] == [g.genotype for g in once.genotypes]
    assert end.phase == once.phase


def test_what_a_table_says_goes_with_the_genotype_it_is_of() -> None:
    """Told of every genotype but the second: the figure is the genotype's number."""
    story: list[events.AnyEvent] = []
    number = 0
    for event in STORY:
        story.append(msgspec.structs.replace(event, seq=len(story) + 1))
        if isinstance(event, events.GenotypeDerived):
            number += 1
            if number != 2:
                place = {n: getattr(event, n) for n in ("epoch", "step", "global_step")}
                values = {"cifar10": float(number)}
                found = events.AccuracyTabulated(table="nasbench201", values=values, **place)
                story.append(msgspec.structs.replace(found, seq=len(story) + 1))
    state = fold_all(story)
    for place, derived in enumerate(state.genotypes, 1):
        later = [g for g in state.genotypes if g.epoch == derived.epoch][-1]
        if later is derived:
            its = state.tabulated_at(derived.epoch)
            assert (its.values["cifar10"] if its else 2) == place
    assert state.tabulated_at(None) == state.tabulated[-1]
    assert state.tabulated_at(0) is None
    known = story[len(story) // 2].seq
    fold(state, events.Rewound(to_seq=known, to_step=1, to_epoch=1, checkpoint="c", seq=99_999))
    assert state.tabulated == fold_all(e for e in story if e.seq <= known).tabulated


def test_the_past_can_be_asked_for() -> None:
    state = fold_all(STORY)
    assert state.alpha_at(None) is state.alpha
    assert state.alpha_at(0) is None
    assert state.genotype_at(0) is None
    third = state.alpha_at(3)
    assert third is not None
    assert (third.epoch, third.step) == (3, 6)
    assert state.alpha_at(99) is state.alpha
    derived = state.genotype_at(3)
    assert derived == fold_all(e for e in STORY if e.seq <= third.seq + 1).genotype


def test_stable_epochs_count_from_the_last_change_of_the_cell() -> None:
    state = fold_all(made_up_events(epochs_done=23))
    for cell in ("normal", "reduce"):
        changed = [g.epoch for g in state.genotypes if any(c.cell == cell for c in g.changed)]
        assert state.stable_epochs(cell) == state.epoch - max(changed)


def test_the_best_epoch_is_the_first_of_equals() -> None:
    template = next(e for e in STORY if isinstance(e, events.EpochFinished))
    scores = [50.0, 70.0, None, 70.0, 60.0]
    ended = [
        msgspec.structs.replace(template, epoch=n, valid_top1=score)
        for n, score in enumerate(scores, 1)
    ]
    best = fold_all(ended).best
    assert best is not None
    assert best.epoch == 2


def test_commands_are_pending_until_they_are_answered() -> None:
    accepted = events.CommandAccepted(id="a", command="pause")
    state = fold_all([accepted])
    assert state.pending == {"a": "pause"}
    assert fold(state, events.CommandDone(id="a", command="pause", seconds=0.1)).pending == {}
    assert fold_all([accepted, events.CommandRejected(id="a", reason="x")]).pending == {}


def test_notes_are_bounded() -> None:
    notes = (events.LogWritten(seq=n, level="info", message="") for n in range(MAX_NOTES + 50))
    state = fold_all(notes)
    assert len(state.notes) == MAX_NOTES
    assert state.notes[-1].seq == MAX_NOTES + 49


def test_a_search_that_went_back_runs_on_with_its_new_plan_and_what_it_gave_up_is_counted() -> None:
    saved = [event for event in STORY if isinstance(event, events.CheckpointSaved)][1]
    plan = [events.ScheduleSpan(name="weight_decay", label="decay", values=[0.1, 0.2])]
    back = events.Rewound(
        seq=len(STORY) + 1,
        to_seq=saved.seq - 1,
        to_step=saved.global_step,
        to_epoch=saved.epoch,
        checkpoint=saved.path,
        reason="the eigenvalue rose",
        schedules=plan,
    )
    before = fold_all(STORY)
    epochs, phase = list(before.epochs), before.phase
    now = fold(before, back)
    assert now.phase == phase
    assert now.started is not None
    assert now.started.schedules == plan
    assert now.epochs == [e for e in epochs if e.seq < saved.seq]
    assert now.given_up == [e for e in epochs if e.seq > saved.seq]
    assert now.given_up
