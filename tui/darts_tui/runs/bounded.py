"""Keeps the state of a very long run small: what is shown of it needs no more.

Up to `MAX_EPOCHS` epochs everything is kept. Of more, the newest half is kept whole, and of those
before it every 2nd, 4th, 8th ... epoch. The epoch with the best accuracy is always among them.
Exports read the log again and have every epoch.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from darts_engine.run.state import RunState

MAX_EPOCHS = 1000
# The events of finished epochs are small, and curves are drawn of them.
MAX_FINISHED = 4 * MAX_EPOCHS
MAX_PENDING = 1000


class _OfAnEpoch(Protocol):
    @property
    def epoch(self) -> int: ...


Item = TypeVar("Item", bound=_OfAnEpoch)


def bound(state: RunState) -> None:
    """Leave out of `state`, in place, what exceeds the bounds."""
    if len(state.epochs) > MAX_FINISHED:
        best = state.best
        state.epochs = _thinned(state.epochs, MAX_FINISHED, lambda done: done is best)
    state.given_up = _thinned(state.given_up, MAX_FINISHED)
    state.genotypes = _thinned(state.genotypes, MAX_EPOCHS, lambda derived: bool(derived.changed))
    state.tabulated = _thinned(state.tabulated, MAX_EPOCHS)
    state.health = _thinned(state.health, MAX_EPOCHS)
    state.edge_figures = _thinned(state.edge_figures, MAX_EPOCHS)
    state.gaps = _thinned(state.gaps, MAX_EPOCHS)
    state.checkpoints = _thinned(state.checkpoints, MAX_EPOCHS)
    state.alerts = _thinned(state.alerts, MAX_EPOCHS)
    if len(state.epoch_alphas) > MAX_EPOCHS:
        alphas = sorted(state.epoch_alphas.values(), key=lambda sample: sample.epoch)
        state.epoch_alphas = {a.epoch: a for a in _thinned(alphas, MAX_EPOCHS)}
    if len(state.epoch_shifts) > MAX_EPOCHS:
        shifts = sorted(state.epoch_shifts.values(), key=lambda shift: shift.epoch)
        state.epoch_shifts = {s.epoch: s for s in _thinned(shifts, MAX_EPOCHS)}
    if len(state.pending) > MAX_PENDING:
        state.pending = dict(list(state.pending.items())[-MAX_PENDING:])


def _thinned(
    items: list[Item], limit: int, is_wanted: Callable[[Item], bool] = lambda _: False
) -> list[Item]:
    """At most 3/4 of `limit`, if there are more than `limit`; the wanted ones before others."""
    if len(items) <= limit:
        return items
    older, newest = items[: -(limit // 2)], items[-(limit // 2) :]
    room = limit // 4
    wanted = {id(item) for item in older if is_wanted(item)}
    if len(wanted) > room // 2:
        wanted = set()
    # A multiple of 4 is one of 2: what was thinned before is thinned evenly again.
    step = 2
    while sum(item.epoch % step == 0 for item in older) > room - len(wanted) and step < 1 << 30:
        step *= 2
    kept = [item for item in older if item.epoch % step == 0 or id(item) in wanted]
    return kept[-room:] + newest
