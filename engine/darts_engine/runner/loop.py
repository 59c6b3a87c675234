"""The loop over epochs and steps that a search and a training share.

A task does the work of a step and makes the events about it. The loop decides when to write them;
between steps its session executes commands and saves checkpoints. Epochs and steps count from 1.
"""

import time
from typing import Any, Protocol

import psutil

from darts_engine.run import events
from darts_engine.run.errors import NotFiniteError
from darts_engine.runner.follower import Follower
from darts_engine.runner.heartbeat import Heartbeat
from darts_engine.runner.position import Position
from darts_engine.runner.session import Session
from darts_engine.runner.stopwatch import Stopwatch
from darts_engine.runner.task import LooksAtTest, Recovers, Reporting, RollsBack

STEP_EVENTS_S = 0.25
SYSTEM_EVENTS_S = 2.0


class Task(Reporting, Protocol):
    """A search or a training.

    Attributes:
        unit: what a step counts, "images" or "tokens".
    """

    unit: str
    epochs: int
    steps_per_epoch: int

    def steps_of(self, epoch: int) -> int:
        """Steps of an epoch; on text they differ, and `steps_per_epoch` is their mean."""

    def describe(self) -> dict[str, Any]:
        """The fields of `RunStarted` that only the task knows."""

    def opening(self, position: Position) -> list[events.Event]:
        """Events before the first step of this process: the state that it starts from."""

    def begin_epoch(self, epoch: int) -> dict[str, float]:
        """Set what changes by epoch. Returns: the schedules' values by name."""

    def step(self, epoch: int, step: int) -> int:
        """Run one step asynchronously. Returns: images or tokens in the weight batch."""

    def stopwatch(self) -> Stopwatch:
        """Times the parts of steps."""

    def finish_epoch(self, position: Position, timing: "Timing") -> list[events.Event]:
        """Validate. Returns: the epoch's events."""

    @property
    def is_over(self) -> bool:
        """Whether the epoch that just ended is the last, even if more were planned."""

    def checkpoint_reason(self) -> str:
        """Reason for a checkpoint of the epoch that just ended: epoch or best."""

    def finish(self, seconds: float) -> events.RunFinished:
        """The run's last event."""


class Timing:
    """Working time of the current epoch, and its images or tokens; pauses do not count."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._held = 0.0
        self.count = 0

    def hold(self, seconds: float) -> None:
        """Do not count a pause."""
        self._held += seconds

    @property
    def seconds(self) -> float:
        """Working time so far, s."""
        return max(1e-9, time.monotonic() - self._began - self._held)

    @property
    def per_s(self) -> float:
        """Throughput of the epoch so far: images or tokens."""
        return self.count / self.seconds


class Loop:
    """Runs a task to its end, or until a command or signal stops it.

    Args:
        task: a search or a training.
        session: takes the events and executes commands; a `Follower` on ranks above 0.
        heartbeat: has the newest figures of the machine.
        every: save at the end of every `every`-th epoch.

    Attributes:
        position: after which step the task stands.
    """

    def __init__(
        self, task: Task, session: Session | Follower, heartbeat: Heartbeat, *, every: int
    ) -> None:
        self._task, self._session, self._heartbeat = task, session, heartbeat
        self._every = every
        self._reported = self._measured = time.monotonic()
        self._steps_since_measured, self._seconds_since_measured = 0, 0.0
        self._timing = Timing()
        self.position = Position()

    def run(self, position: Position) -> None:
        """Go on from `position` to the last epoch.

        Raises:
            Stopped: a command or signal ended the run; its checkpoint is saved.
        """
        task, session = self._task, self._session
        self.position = position
        began = time.monotonic()
        for event in task.opening(position):
            session.emit(event)
        epoch = position.epoch + 1 if position.is_epoch_done else position.epoch
        while epoch <= task.epochs and not task.is_over:
            try:
                position = self._run_epoch(epoch, position)
            except NotFiniteError as error:
                if not isinstance(task, Recovers):
                    raise
                task.failed(error)
                position = self._roll_back(task)
            epoch = position.epoch + 1
        if isinstance(task, LooksAtTest) and task.has_test:
            session.emit(task.look_at_test(session.best_state()))
        session.close()
        session.emit(task.finish(round(time.monotonic() - began, 3)))

    def _run_epoch(self, epoch: int, position: Position) -> Position:
        """Begin an epoch, or go on with it, and end it. Returns: where the task stands then."""
        task = self._task
        self._timing = Timing()
        schedules, steps = task.begin_epoch(epoch), task.steps_of(epoch)
        self._session.emit(events.EpochStarted(epoch=epoch, steps=steps, schedules=schedules))
        done = position.step if position.epoch == epoch else 0
        for step in range(done + 1, steps + 1):
            before = time.monotonic()
            count = task.step(epoch, step)
            self._count_step(count, time.monotonic() - before)
            self.position = position = Position(
                epoch=epoch,
                step=step,
                global_step=position.global_step + 1,
                is_epoch_done=False,
            )
            self._report(position)
            self._boundary(position)
        return self._finish_epoch(position)

    def _finish_epoch(self, position: Position) -> Position:
        """End an epoch. Returns: its end, or that of an earlier epoch after a rollback."""
        task = self._task
        for event in task.finish_epoch(position, self._timing):
            self._session.emit(event)
        self._measure(position)
        if isinstance(task, RollsBack) and task.rollback is not None:
            return self._roll_back(task)
        self.position = position = Position(
            epoch=position.epoch, step=position.step, global_step=position.global_step
        )
        is_last = task.is_over or position.epoch == task.epochs
        reason = task.checkpoint_reason()
        is_due = position.epoch % self._every == 0 or is_last or reason == "best"
        if is_due or self._may_roll_back_to(position.epoch):
            self._session.save(task, position, reason=reason)
        if not is_last:
            self._boundary(position)
        return position

    def _roll_back(self, task: RollsBack) -> Position:
        """Go back to the epoch that the task decides on. Returns: its end."""
        self.position = position = self._session.roll_back(task)
        self._boundary(position)
        return position

    def _may_roll_back_to(self, epoch: int) -> bool:
        task = self._task
        return isinstance(task, RollsBack) and epoch in task.may_return_to(epoch)

    def _boundary(self, position: Position) -> None:
        before = time.monotonic()
        self._session.boundary(self._task, position)
        self._timing.hold(time.monotonic() - before)

    def _count_step(self, count: int, seconds: float) -> None:
        self._timing.count += count
        self._steps_since_measured += 1
        self._seconds_since_measured += seconds

    def _report(self, position: Position) -> None:
        if not self._session.leads:
            return
        now = time.monotonic()
        if now - self._reported >= STEP_EVENTS_S or position.global_step == 1:
            self._reported = now
            self._session.report(self._task, position)
        if now - self._measured >= SYSTEM_EVENTS_S or position.global_step == 1:
            self._measure(position)

    def _measure(self, position: Position) -> None:
        """Write figures of the machine. `step_ms` is host time per step, without pauses."""
        if not self._session.leads:
            return
        steps = self._steps_since_measured
        step_ms = 1000 * self._seconds_since_measured / steps if steps else None
        figures = self._heartbeat.figures
        parts = self._task.stopwatch().read()
        self._session.emit(
            position.stamp(
                events.SystemMeasured,
                **{f"{self._task.unit}_per_s": round(self._timing.per_s, 1)},
                step_ms=None if step_ms is None else round(step_ms, 2),
                cpu_percent=round(figures.cpu_percent, 1),
                cpu_count=psutil.cpu_count() or 1,
                rss_bytes=figures.rss_bytes or psutil.Process().memory_info().rss,
                memory_total_bytes=psutil.virtual_memory().total,
                disk_free_bytes=figures.disk_free_bytes,
                gpus=list(figures.gpus),
                alpha_ms=parts.get("alpha"),
                weight_ms=parts.get("weights"),
                data_ms=parts.get("data"),
            )
        )
        self._measured = time.monotonic()
        self._steps_since_measured, self._seconds_since_measured = 0, 0.0
