"""Epochs and steps: what a search and a training have in common.

A task does the work of a step and says what there is to say; the loop decides when to say it, and
obeys commands and saves checkpoints between steps. Epochs and steps count from 1.
"""

import time
from typing import Any, Protocol

import psutil

from darts_engine.run import events
from darts_engine.runner.follower import Follower
from darts_engine.runner.heartbeat import Heartbeat
from darts_engine.runner.position import Position
from darts_engine.runner.session import Session
from darts_engine.runner.stopwatch import Stopwatch
from darts_engine.runner.task import Reporting, RollsBack

STEP_FACTS_S = 0.25
SYSTEM_FACTS_S = 2.0


class Task(Reporting, Protocol):
    """A search or a training."""

    epochs: int
    steps_per_epoch: int

    def describe(self) -> dict[str, Any]:
        """The fields of `RunStarted` that only the task knows."""

    def opening(self, position: Position) -> list[events.Event]:
        """Events before the first step of this process: where things stand."""

    def begin_epoch(self, epoch: int) -> dict[str, float]:
        """Set what changes by epoch; the schedules' values by name."""

    def step(self, epoch: int, step: int) -> int:
        """Do one step, without waiting for the device; how many images the weights learned from."""

    def stopwatch(self) -> Stopwatch:
        """How long the parts of steps take."""

    def finish_epoch(self, position: Position, timing: "Timing") -> list[events.Event]:
        """Validate; the epoch's events."""

    @property
    def is_over(self) -> bool:
        """Whether the epoch that just ended was the last, whatever the plan was."""

    def checkpoint_reason(self) -> str:
        """Why the epoch that just ended is saved: epoch or best."""

    def finish(self, seconds: float) -> events.RunFinished:
        """The run's last event."""


class Timing:
    """How long the epoch has taken, without pauses, and how many images it has seen."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._held = 0.0
        self.images = 0

    def hold(self, seconds: float) -> None:
        """Leave out a pause."""
        self._held += seconds

    @property
    def seconds(self) -> float:
        """Working time so far."""
        return max(1e-9, time.monotonic() - self._began - self._held)

    @property
    def images_per_s(self) -> float:
        """Throughput of the epoch so far."""
        return self.images / self.seconds


class Loop:
    """Runs a task to its end, or until it is asked to stop; `position` is where it stands.

    Args:
        task: what is run.
        session: where events go and commands come from; that of rank 0, or what follows it.
        heart: the newest figures of the machine.
        every: save at the end of every so many epochs.
    """

    def __init__(
        self, task: Task, session: Session | Follower, heart: Heartbeat, *, every: int
    ) -> None:
        self._task, self._session, self._heart = task, session, heart
        self._every = every
        self._reported = self._measured = time.monotonic()
        self._steps_since_measured, self._seconds_since_measured = 0, 0.0
        self._timing = Timing()
        self.position = Position()

    def run(self, position: Position) -> None:
        """Go on from `position` to the last epoch.

        Raises:
            Stopped: the run was asked to end and its checkpoint is saved.
        """
        task, session = self._task, self._session
        self.position = position
        began = time.monotonic()
        for event in task.opening(position):
            session.emit(event)
        epoch = position.epoch + 1 if position.is_epoch_done else position.epoch
        while epoch <= task.epochs and not task.is_over:
            self._timing = Timing()
            schedules = task.begin_epoch(epoch)
            session.emit(
                events.EpochStarted(epoch=epoch, steps=task.steps_per_epoch, schedules=schedules)
            )
            done = position.step if position.epoch == epoch else 0
            for step in range(done + 1, task.steps_per_epoch + 1):
                before = time.monotonic()
                images = task.step(epoch, step)
                self._count_step(images, time.monotonic() - before)
                self.position = position = Position(
                    epoch=epoch,
                    step=step,
                    global_step=(epoch - 1) * task.steps_per_epoch + step,
                    is_epoch_done=False,
                )
                self._say(position)
                self._boundary(position)
            position = self._finish_epoch(position)
            epoch = position.epoch + 1
        session.close()
        session.emit(task.finish(round(time.monotonic() - began, 3)))

    def _finish_epoch(self, position: Position) -> Position:
        """Where the run stands then: at the epoch's end, or at that of an earlier one."""
        task = self._task
        for event in task.finish_epoch(position, self._timing):
            self._session.emit(event)
        self._measure(position)
        if isinstance(task, RollsBack) and task.rollback is not None:
            self.position = position = self._session.roll_back(task)
            self._boundary(position)
            return position
        self.position = position = Position(
            epoch=position.epoch, step=position.step, global_step=position.global_step
        )
        is_last = task.is_over or position.epoch == task.epochs
        reason = task.checkpoint_reason()
        is_due = position.epoch % self._every == 0 or is_last or reason == "best"
        if is_due or self._may_be_needed(position.epoch):
            self._session.save(task, position, reason=reason)
        if not is_last:
            self._boundary(position)
        return position

    def _may_be_needed(self, epoch: int) -> bool:
        task = self._task
        return isinstance(task, RollsBack) and epoch in task.may_return_to(epoch)

    def _boundary(self, position: Position) -> None:
        before = time.monotonic()
        self._session.boundary(self._task, position)
        self._timing.hold(time.monotonic() - before)

    def _count_step(self, images: int, seconds: float) -> None:
        self._timing.images += images
        self._steps_since_measured += 1
        self._seconds_since_measured += seconds

    def _say(self, position: Position) -> None:
        if not self._session.leads:
            return
        now = time.monotonic()
        if now - self._reported >= STEP_FACTS_S or position.global_step == 1:
            self._reported = now
            self._session.report(self._task, position)
        if now - self._measured >= SYSTEM_FACTS_S or position.global_step == 1:
            self._measure(position)

    def _measure(self, position: Position) -> None:
        """Say how the machine does; `step_ms` is what steps cost the host, pauses left out."""
        if not self._session.leads:
            return
        steps = self._steps_since_measured
        step_ms = 1000 * self._seconds_since_measured / steps if steps else None
        figures = self._heart.figures
        parts = self._task.stopwatch().read()
        self._session.emit(
            position.stamp(
                events.SystemMeasured,
                images_per_s=round(self._timing.images_per_s, 1),
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
