"""Folds the events of a run into one `RunState`, which dashboards and printers show.

Live, finished, crashed and replayed runs are folded alike; a replay stops earlier. `fold` changes
the given state in place, because a log may hold a million events. The same events always give the
same state.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import msgspec

from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.edges import EdgeFigures, edge_figures
from darts_engine.run.events import AnyEvent
from darts_engine.run.series import Series

MAX_NOTES = 1000
# The schedule that turns to 1 when a training begins to average its weights.
AVERAGING = "averaging"
# The `device` of a run that no engine of ours made.
IMPORTED = "imported"


@dataclass
class RunState:
    """All that is known of a run after some of its events.

    Attributes:
        phase: starting, running, paused, stopping, stopped, finished or failed, by the log alone.
            `liveness.observe` also looks at whether the engine lives.
        epochs: the finished epochs that count.
        given_up: finished epochs that a search itself undid by a rollback. They cost time.
        averaging_from: the first epoch whose schedule `averaging` was on; None before.
        pending: commands that were accepted and are not done: id -> command.
        notes: the newest events for an event list.
    """

    phase: str = "starting"
    last_seq: int = 0
    last_t: float = 0.0
    started: events.RunStarted | None = None
    first_t: float | None = None
    ended_seq: int = 0
    epoch: int = 0
    step: int = 0
    steps: int = 0
    global_step: int = 0
    schedules: dict[str, float] = field(default_factory=dict)
    averaging_from: int | None = None

    train_loss: Series = field(default_factory=Series)
    alpha_loss: Series = field(default_factory=Series)
    epochs: list[events.EpochFinished] = field(default_factory=list)
    given_up: list[events.EpochFinished] = field(default_factory=list)

    alpha: events.AlphaSampled | None = None
    epoch_alphas: dict[int, events.AlphaSampled] = field(default_factory=dict)
    genotype: events.GenotypeDerived | None = None
    genotypes: list[events.GenotypeDerived] = field(default_factory=list)
    tabulated: list[events.AccuracyTabulated] = field(default_factory=list)
    health: list[events.HealthMeasured] = field(default_factory=list)
    edge_figures: list[EdgeFigures] = field(default_factory=list)
    gaps: list[events.GapMeasured] = field(default_factory=list)
    epoch_shifts: dict[int, events.MeanShifted] = field(default_factory=dict)
    test: events.TestMeasured | None = None
    system: events.SystemMeasured | None = None
    download: events.DownloadProgressed | None = None
    checkpoints: list[events.CheckpointSaved] = field(default_factory=list)

    pending: dict[str, str] = field(default_factory=dict)
    result: events.RunFinished | None = None
    failure: events.RunFailed | None = None
    alerts: list[events.AlertRaised] = field(default_factory=list)
    notes: deque[AnyEvent] = field(default_factory=lambda: deque(maxlen=MAX_NOTES))

    @property
    def kind(self) -> str:
        """Search or train; empty before the run has started."""
        return self.started.kind if self.started else ""

    @property
    def total_epochs(self) -> int:
        """Epochs the run is planned for; 0 before it has started."""
        return self.started.epochs if self.started else 0

    @property
    def best(self) -> events.EpochFinished | None:
        """The epoch with the best validation by its `score`; the first of several."""
        scored = [(found, -e.epoch, e) for e in self.epochs if (found := score(e)) is not None]
        return max(scored, key=lambda one: one[:2])[2] if scored else None

    @property
    def is_imported(self) -> bool:
        """Whether the run was made of another program's log, so that nothing goes on with it."""
        return self.started is not None and self.started.device == IMPORTED

    @property
    def is_text(self) -> bool:
        """Whether the run reads text, and has perplexities in place of accuracies."""
        return self.started is not None and self.started.unit == "tokens"

    @property
    def epochs_done(self) -> float:
        """Epochs that are done, with the fraction of the current one.

        Not by the run's steps per epoch: on text, epochs differ in their number of steps.
        """
        if not self.started or not self.epoch:
            return 0.0
        part = min(1.0, self.step / (self.steps or self.started.steps_per_epoch or 1))
        return min(float(self.started.epochs), max(0, self.epoch - 1) + part)

    @property
    def progress(self) -> float:
        """Fraction of the planned epochs that is done."""
        return self.epochs_done / self.started.epochs if self.started and self.total_epochs else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the pace of the last five epochs; None before the first is done."""
        if not self.epochs or not self.started or self.phase not in ("running", "paused"):
            return None
        recent = self.epochs[-5:]
        pace = sum(e.seconds for e in recent) / len(recent)
        return max(0.0, (self.started.epochs - self.epochs_done) * pace)

    @property
    def elapsed_s(self) -> float:
        """Seconds between the first and the last event."""
        return 0.0 if self.first_t is None else max(0.0, self.last_t - self.first_t)

    def epochs_at(self, steps: Iterable[float]) -> list[float]:
        """The places of global steps, in rising order, on an axis of epochs."""
        ends = [(0, 0), *((e.epoch, e.global_step) for e in self.epochs)]
        mean = self.started.steps_per_epoch if self.started else 0
        open_epoch = self.steps if self.epoch > ends[-1][0] else mean
        places: list[float] = []
        at = 1
        for step in steps:
            while at < len(ends) and ends[at][1] < step:
                at += 1
            epoch, first = ends[at - 1]
            if at < len(ends):
                long, last = ends[at]
                share = (step - first) / max(1, last - first) * (long - epoch)
            else:
                share = (step - first) / (open_epoch or mean or 1)
            places.append(epoch + share)
        return places

    def alpha_at(self, epoch: int | None) -> events.AlphaSampled | None:
        """The last alpha sample in or before an epoch; None is the newest."""
        if epoch is None:
            return self.alpha
        known = [e for e in self.epoch_alphas if e <= epoch]
        return self.epoch_alphas[max(known)] if known else None

    def genotype_at(self, epoch: int | None) -> events.GenotypeDerived | None:
        """The last genotype derived in or before an epoch; None is the newest."""
        if epoch is None:
            return self.genotype
        return next((g for g in reversed(self.genotypes) if g.epoch <= epoch), None)

    def tabulated_at(self, epoch: int | None) -> events.AccuracyTabulated | None:
        """The tabulated accuracy of that genotype; None if no table has it."""
        derived = self.genotype_at(epoch)
        if derived is None:
            return None
        step, seq = derived.global_step, derived.seq
        its = (a for a in reversed(self.tabulated) if a.global_step == step and a.seq > seq)
        return next(its, None)

    def stable_epochs(self, cell: str, epoch: int | None = None) -> int:
        """For how many epochs the derived edges of a cell have been the same."""
        current = self.genotype_at(epoch)
        if current is None:
            return 0
        since = current.epoch
        for earlier in reversed(self.genotypes):
            if earlier.global_step > current.global_step:
                continue
            if earlier.genotype.cell(cell) != current.genotype.cell(cell):
                break
            since = earlier.epoch
        return (self.epoch if epoch is None else epoch) - since

    def final_genotype(self) -> Genotype | None:
        """The genotype that a search ended with, or derived last; in training, the trained one."""
        if self.result and self.result.genotype:
            return self.result.genotype
        if self.genotype:
            return self.genotype.genotype
        return self.started.genotype if self.started else None


def score(done: events.EpochFinished) -> float | None:
    """How good an epoch's validation is, higher is better: accuracy, or a perplexity negated."""
    if done.valid_top1 is not None:
        return done.valid_top1
    return None if done.valid_perplexity is None else -done.valid_perplexity


def fold(state: RunState, event: AnyEvent) -> RunState:
    """Apply one more event to `state`. Returns: the same object.

    The start of another run, which took this one's name, begins the state anew.
    """
    known = state.last_seq
    state.last_seq = max(state.last_seq, event.seq)
    state.last_t = max(state.last_t, event.t)
    if state.first_t is None:
        state.first_t = event.t
    match event:
        case events.RunStarted():
            if _is_of_another_run(state, event, known):
                _begin_anew(state, event)
            state.started = event
            state.phase = "running"
            state.pending.clear()
            state.failure = state.result = None
            state.download = None
        case events.Rewound():
            _rewind(state, event)
            if not event.reason:
                state.phase = "starting"
        case events.EpochStarted():
            if event.epoch != state.epoch:
                state.step = 0
            # No epoch begins while the run is paused or stops, also where it has gone back.
            state.phase = "running"
            state.epoch, state.steps = event.epoch, event.steps
            state.schedules = event.schedules
            if state.averaging_from is None and event.schedules.get(AVERAGING):
                state.averaging_from = event.epoch
        case events.StepFinished():
            _move_to(state, event)
            state.train_loss.add(event.global_step, event.train_loss)
            state.alpha_loss.add(event.global_step, event.alpha_loss)
        case events.AlphaSampled():
            _move_to(state, event)
            state.alpha = event
            state.epoch_alphas[event.epoch] = event
        case events.GenotypeDerived():
            _move_to(state, event)
            state.genotype = event
            state.genotypes.append(event)
        case events.AccuracyTabulated():
            state.tabulated.append(event)
        case events.EpochFinished():
            state.epoch = event.epoch
            state.step = state.steps
            state.global_step = event.global_step
            state.epochs.append(event)
        case events.HealthMeasured():
            state.health.append(event)
            if state.started and state.alpha:
                derived = state.genotype.genotype if state.genotype else None
                figures = edge_figures(state.started.cells, state.alpha, derived)
                state.edge_figures.append(figures)
        case events.MeanShifted():
            state.epoch_shifts[event.epoch] = event
        case events.GapMeasured():
            state.gaps.append(event)
        case events.TestMeasured():
            state.test = event
        case events.SystemMeasured():
            state.system = event
        case events.DownloadProgressed():
            state.download = event
        case events.CheckpointSaved():
            state.checkpoints.append(event)
        case events.CommandAccepted():
            state.pending[event.id] = event.command
        case events.CommandDone() | events.CommandRejected():
            state.pending.pop(event.id, None)
        case events.RunPaused():
            _move_to(state, event)
            state.phase = "paused"
        case events.RunContinued():
            state.phase = "running"
        case events.RunStopping():
            state.phase = "stopping"
        case events.RunStopped():
            _move_to(state, event)
            state.phase, state.ended_seq = "stopped", event.seq
        case events.RunFinished():
            state.phase, state.result, state.ended_seq = "finished", event, event.seq
        case events.RunFailed():
            state.phase, state.failure, state.ended_seq = "failed", event, event.seq
        case events.AlertRaised():
            state.alerts.append(event)
        case _:
            pass
    if not isinstance(event, _SILENT):
        state.notes.append(event)
    return state


def _is_of_another_run(state: RunState, event: events.RunStarted, known: int) -> bool:
    if state.started is None or event.run in ("", state.started.run):
        return False
    # A run that began with version 0.2.0 has no id in its first event, but in those after.
    return state.started.run != "" or event.seq <= known


def _begin_anew(state: RunState, event: events.RunStarted) -> None:
    new = RunState(last_seq=event.seq, last_t=event.t, first_t=event.t)
    for part in fields(state):
        setattr(state, part.name, getattr(new, part.name))


# Events that panels show, too many for an event list.
_SILENT = (
    events.StepFinished,
    events.AlphaSampled,
    events.MeanShifted,
    events.SystemMeasured,
    events.DownloadProgressed,
    events.HealthMeasured,
    events.EpochStarted,
)


def fold_all(history: Iterable[AnyEvent], state: RunState | None = None) -> RunState:
    """Fold many events into a new state, or into `state`."""
    state = state or RunState()
    for event in history:
        fold(state, event)
    return state


def _move_to(
    state: RunState,
    event: events.StepFinished
    | events.AlphaSampled
    | events.GenotypeDerived
    | events.RunPaused
    | events.RunStopped,
) -> None:
    state.epoch, state.step, state.global_step = event.epoch, event.step, event.global_step


def _rewind(state: RunState, event: events.Rewound) -> None:
    """Undo the events after the checkpoint that the run went back to."""
    known = event.to_seq
    state.train_loss.cut(event.to_step)
    state.alpha_loss.cut(event.to_step)
    state.given_up = [e for e in state.given_up if e.seq <= known or event.reason]
    if event.reason:
        state.given_up += [e for e in state.epochs if e.seq > known]
        if state.started and event.schedules:
            state.started = msgspec.structs.replace(state.started, schedules=event.schedules)
    state.epochs = [e for e in state.epochs if e.seq <= known]
    state.health = [h for h in state.health if h.seq <= known]
    state.edge_figures = [f for f in state.edge_figures if f.seq <= known]
    if state.test and state.test.seq > known:
        state.test = None
    state.gaps = [g for g in state.gaps if g.seq <= known]
    state.epoch_shifts = {e: s for e, s in state.epoch_shifts.items() if s.seq <= known}
    state.tabulated = [a for a in state.tabulated if a.seq <= known]
    state.genotypes = [g for g in state.genotypes if g.seq <= known]
    state.alerts = [a for a in state.alerts if a.seq <= known]
    state.epoch_alphas = {e: a for e, a in state.epoch_alphas.items() if a.seq <= known}
    state.alpha = max(state.epoch_alphas.values(), key=lambda a: a.seq, default=None)
    state.genotype = state.genotypes[-1] if state.genotypes else None
    if state.averaging_from is not None and state.averaging_from > event.to_epoch:
        state.averaging_from = None
    state.epoch, state.global_step = event.to_epoch, event.to_step
    state.step = event.to_step - _steps_before(state, event.to_epoch) if event.to_epoch else 0


def _steps_before(state: RunState, epoch: int) -> int:
    """The global step that an epoch began after."""
    for done in reversed(state.epochs):
        if done.epoch == epoch - 1:
            return done.global_step
    return (epoch - 1) * (state.started.steps_per_epoch if state.started else 0)
