"""What is left out of the state of a very long run, and what never is."""

import itertools

import msgspec
from fake_story import made_up_events

from darts_engine.run import events
from darts_engine.run.state import RunState, fold_all
from darts_tui.runs import bounded
from darts_tui.runs.bounded import MAX_EPOCHS, MAX_FINISHED, bound

STORY = made_up_events(epochs=9, epochs_done=8, steps=4)


CHANGE = next(e.changed[0] for e in STORY if isinstance(e, events.GenotypeDerived) and e.changed)


def first(kind: type[events.Event]) -> events.Event:
    return next(event for event in STORY if isinstance(event, kind))


def long_run(epochs: int, best: int) -> RunState:
    """A run of so many epochs, bounded as it grows; only in `best` the genotype changes."""
    state = fold_all(STORY[:1])
    alpha, derived, done = map(
        first, (events.AlphaSampled, events.GenotypeDerived, events.EpochFinished)
    )
    for epoch in range(1, epochs + 1):
        changed = [CHANGE] if epoch == best else []
        fold_all(
            [
                msgspec.structs.replace(alpha, epoch=epoch),
                msgspec.structs.replace(derived, epoch=epoch, changed=changed),
                msgspec.structs.replace(done, epoch=epoch, valid_top1=90.0 - abs(epoch - best)),
                events.CommandAccepted(id=str(epoch), command="pause"),
            ],
            state,
        )
        bound(state)
    return state


def test_a_run_of_ordinary_length_is_kept_whole() -> None:
    state = fold_all(STORY)
    bound(state)
    assert state == fold_all(STORY)
    state = long_run(MAX_EPOCHS, best=7)
    assert len(state.epochs) == len(state.epoch_alphas) == len(state.genotypes) == MAX_EPOCHS


def test_a_longer_one_keeps_its_best_its_changes_its_newest_and_an_even_choice() -> None:
    epochs, best = 3 * MAX_FINISHED, 77
    state = long_run(epochs, best)
    assert state.best is not None
    assert (state.best.epoch, state.best.valid_top1) == (best, 90.0)
    alphas = sorted(state.epoch_alphas)
    assert len(alphas) <= MAX_EPOCHS
    newest = MAX_EPOCHS // 2
    assert alphas[-newest:] == list(range(epochs - newest + 1, epochs + 1))
    gaps = {after - before for before, after in itertools.pairwise(alphas)}
    assert max(gaps) <= 4 * epochs / (MAX_EPOCHS // 4)
    assert alphas[0] <= max(gaps)
    assert len(state.epochs) <= MAX_FINISHED
    assert best in [derived.epoch for derived in state.genotypes]
    assert len(state.pending) <= bounded.MAX_PENDING
    assert str(epochs) in state.pending


def test_events_that_all_claim_one_epoch_are_bounded_too() -> None:
    saved = first(events.CheckpointSaved)
    state = RunState()
    for _ in range(5):
        fold_all([msgspec.structs.replace(saved, epoch=0)] * MAX_EPOCHS, state)
        bound(state)
        assert len(state.checkpoints) <= MAX_EPOCHS
