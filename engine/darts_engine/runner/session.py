"""One engine's hold on one run: events out, commands in, checkpoints, pauses, and the end.

The loop calls `boundary` between steps and `save` at epochs' ends; everything that may hold it up
(a pause, a full disk) happens in there, never inside a step.
"""

import contextlib
import shutil
import time
from typing import Any

from darts_engine.compute.parallel import KEEP_ALIVE_S, Decision, World
from darts_engine.run import commands, events
from darts_engine.run.errors import ExitCode, NotFoundError, SpaceError
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import EventLog
from darts_engine.runner import checkpoint
from darts_engine.runner.inbox import SIGNAL_EXIT, Inbox, Signals
from darts_engine.runner.position import Position
from darts_engine.runner.restore import Restorer
from darts_engine.runner.task import Discretisable, Reporting, RollsBack, Stateful

POLL_S = 0.05
RETRY_S = 1.0
FETCH_EVENTS_S = 1.0


class Stopped(Exception):  # noqa: N818  it is how a run ends, not a fault
    """The run ends at a boundary, its checkpoint saved."""

    def __init__(self, exit_code: ExitCode, reason: str) -> None:
        super().__init__(reason)
        self.exit_code, self.reason = exit_code, reason


class Session:
    """Events, commands and checkpoints of a run.

    Args:
        folder: the run; its lock must be held by this process.
        log: its event log, open for appending.
        signals: the process's flags.
        inbox: the commands since the engine took the run.
        keep: automatic checkpoints to keep.
        checkpoint_seconds: save when this long has passed since the last; 0 = never.

    Attributes:
        world: the processes that share the run. The others hear from here what they do at every
            boundary, because it takes all of them to report or save.
    """

    leads = True

    def __init__(
        self,
        folder: RunFolder,
        log: EventLog,
        signals: Signals,
        inbox: Inbox,
        *,
        keep: int,
        checkpoint_seconds: float,
    ) -> None:
        self.folder, self.log = folder, log
        self.identity: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.world = World()
        self._signals, self._inbox = signals, inbox
        self._keep, self._checkpoint_seconds = keep, checkpoint_seconds
        self._saved_at = time.monotonic()
        self._fetched_at = 0.0
        self._stop_after_epoch: commands.Stop | None = None

    def join(self, world: World) -> None:
        """Speak for a world."""
        self.world = world

    def emit(self, event: events.Event) -> None:
        """Write an event. A full disk drops it and is reported by the log itself later."""
        self.log.append(event)

    def note(self, message: str, level: str = "info") -> None:
        """Write a line for people."""
        self.emit(events.LogWritten(level=level, message=message))

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        """Before the run starts: so much of a data set's file is here.

        Raises:
            Stopped: the run was asked to end meanwhile.
        """
        now = time.monotonic()
        if now - self._fetched_at >= FETCH_EVENTS_S or done_bytes == total_bytes:
            self._fetched_at = now
            self.emit(
                events.DownloadProgressed(file=file, done_bytes=done_bytes, total_bytes=total_bytes)
            )
            self._refuse_gone()
        if self._signals.received is not None:
            raise Stopped(SIGNAL_EXIT[self._signals.received], self._signals.received.name)
        while (command := self._inbox.take()) is not None:
            name = type(command).__name__.lower()
            if not isinstance(command, commands.Stop):
                why = "the run has not begun: its data set is being downloaded"
                self.emit(events.CommandRejected(id=command.id, command=name, reason=why))
                continue
            self.emit(events.CommandAccepted(id=command.id, command=name, source=command.source))
            self._done(command, now)
            raise Stopped(ExitCode.OK, "command")

    def tell_of_repairs(self) -> None:
        """Say what was wrong with the log when it was opened."""
        if self.log.repaired_bytes:
            moved = f"moved {self.log.repaired_bytes} bytes of a torn line to"
            self.note(f"{moved} {self.folder.torn_events.name}")

    def restore(self, task: Stateful) -> Position:
        """Load the newest checkpoint that can be trusted into a new task; see `Restorer`."""
        return self._restorer().restore(task)

    def roll_back(self, task: RollsBack) -> Position:
        """Take a task back to the epoch that its `rollback` names, and save what it is then."""
        position = self._restorer().roll_back(task)
        self.save(task, position, reason="epoch")
        return position

    def _restorer(self) -> Restorer:
        return Restorer(self.folder, self.log, self.world, self.identity, self.environment)

    def boundary(self, task: Stateful, position: Position) -> None:
        """Between two steps: obey commands and signals, and save when it is time to.

        Raises:
            Stopped: the run was asked to end; its checkpoint is saved.
        """
        self._obey(task, position)
        due = self._checkpoint_seconds
        if due and time.monotonic() - self._saved_at >= due and not position.is_epoch_done:
            self.save(task, position, reason="time")
        if position.is_epoch_done and self._stop_after_epoch is not None:
            self._stop(task, position, self._stop_after_epoch)
        self.world.tell(Decision.GO)

    def report(self, task: Reporting, position: Position) -> None:
        """Say what there is to say of a step."""
        self.world.tell(Decision.REPORT)
        for event in task.report(position):
            self.emit(event)

    def dismiss(self, code: ExitCode) -> None:
        """The other processes end with this one, and with its exit code."""
        self.world.tell(Decision.STOP, code)

    def _obey(self, task: Stateful, position: Position) -> None:
        self._refuse_gone()
        if self._signals.received is not None:
            self._end_by_signal(task, position)
        while (command := self._inbox.take()) is not None:
            self._carry_out(command, task, position)

    def _refuse_gone(self) -> None:
        # Only "no such file" means gone: a network file system may fail in other ways for a while.
        with contextlib.suppress(OSError):
            try:
                self.folder.path.stat()
            except FileNotFoundError:
                raise NotFoundError(
                    "the run folder is gone: it was deleted, moved or renamed under its engine",
                    where=str(self.folder.path),
                    remedy="if it was moved, resume it from where it is now",
                ) from None

    def _end_by_signal(self, task: Stateful, position: Position) -> None:
        received = self._signals.received
        assert received is not None
        self.emit(events.RunStopping(reason=received.name))
        self.save(task, position, reason="stop")
        raise Stopped(SIGNAL_EXIT[received], received.name)

    def _carry_out(
        self,
        command: commands.AnyCommand,
        task: Stateful,
        position: Position,
        *,
        paused: bool = False,
    ) -> bool:
        """Do one command; True when it ends a pause."""
        began = time.monotonic()
        name = type(command).__name__.lower()
        refusal = _refusal(command, task, paused=paused)
        if refusal:
            self.emit(events.CommandRejected(id=command.id, command=name, reason=refusal))
            return False
        self.emit(events.CommandAccepted(id=command.id, command=name, source=command.source))
        match command:
            case commands.Pause():
                self._done(command, began)
                self._pause(task, position, "command")
            case commands.Checkpoint():
                self.save(task, position, reason="command")
                self._done(command, began)
            case commands.Discretise() if isinstance(task, Discretisable):
                self.world.tell(Decision.MEASURE)
                self.emit(task.measure_gap(position))
                self._done(command, began)
            case commands.Stop(after_epoch=True) if self._stop_after_epoch is not None:
                self._done(command, began)
            case commands.Stop(after_epoch=True) if not paused:
                self.emit(events.RunStopping(reason="after this epoch"))
                self._stop_after_epoch = command
            case commands.Stop():
                self._stop(task, position, command)
            case commands.Resume():
                self._done(command, began)
                return True
        return False

    def _done(self, command: commands.Command, began: float) -> None:
        name = type(command).__name__.lower()
        seconds = time.monotonic() - began
        self.emit(events.CommandDone(id=command.id, command=name, seconds=round(seconds, 3)))

    def _stop(self, task: Stateful, position: Position, command: commands.Stop) -> None:
        began = time.monotonic()
        if self._stop_after_epoch is not command:
            self.emit(events.RunStopping(reason="command"))
        self.save(task, position, reason="stop")
        self._done(command, began)
        raise Stopped(ExitCode.OK, "command")

    def _pause(self, task: Stateful, position: Position, reason: str) -> None:
        """Hold until a command to go on; other commands are obeyed meanwhile."""
        self.emit(_at(events.RunPaused, position, reason=reason))
        self.log.sync()
        told = time.monotonic()
        while True:
            if time.monotonic() - told >= KEEP_ALIVE_S:
                self.world.tell(Decision.WAIT)
                told = time.monotonic()
            if self._signals.received is not None:
                self._end_by_signal(task, position)
            self._refuse_gone()
            while (command := self._inbox.take()) is not None:
                if self._carry_out(command, task, position, paused=True):
                    self.emit(_at(events.RunContinued, position))
                    if self._stop_after_epoch is not None:
                        self.emit(events.RunStopping(reason="after this epoch"))
                    return
            time.sleep(POLL_S)

    def save(self, task: Stateful, position: Position, *, reason: str) -> None:
        """Save a checkpoint; while it cannot be written, as on a full disk, the run is paused.

        Raises:
            Stopped: asked to while it could not be written; older checkpoints are untouched.
            NotFoundError: there is no run folder any more.
            NotFiniteError: the state is not worth saving.
        """
        self.world.tell(Decision.SAVE)
        state = task.state()
        # The checkpoint knows these events: they have to outlive a power loss too.
        self.log.sync()
        waited = told = False
        while True:
            try:
                saved = checkpoint.save(
                    self.folder,
                    state,
                    position,
                    reason=reason,
                    seq=self.log.last_seq,
                    identity=self.identity,
                    environment=self.environment,
                )
                break
            except (SpaceError, OSError) as error:
                self._refuse_gone()
                # The log shares the full disk: say it again until it could be written.
                why = self._why_unsaved(error)
                told = told or self.log.append(_at(events.RunPaused, position, reason=why))
                waited = True
                self._wait_for_room(why)
        if waited:
            self.emit(_at(events.RunContinued, position))
        self._saved_at = time.monotonic()
        self.emit(
            events.CheckpointSaved(
                path=str(saved.path.relative_to(self.folder.path)),
                reason=reason,
                epoch=position.epoch,
                step=position.step,
                global_step=position.global_step,
                size_bytes=saved.size_bytes,
                seconds=round(saved.seconds, 3),
            )
        )
        ended = position.epoch if position.is_epoch_done else position.epoch - 1
        needed = task.may_return_to(ended) if isinstance(task, RollsBack) else ()
        checkpoint.prune(self.folder, self._keep, needed)

    def _why_unsaved(self, error: SpaceError | OSError) -> str:
        if isinstance(error, SpaceError):
            free = shutil.disk_usage(self.folder.path).free / 1e6
            return f"disk full: {error.what}, {free:.1f} MB free"
        return f"the checkpoint cannot be saved: {error.strerror}"

    def _wait_for_room(self, why: str) -> None:
        """A second of patience, in which a signal or a command to stop still ends the run."""
        self.world.tell(Decision.WAIT)
        until = time.monotonic() + RETRY_S
        while time.monotonic() < until:
            if self._signals.received is not None:
                raise Stopped(SIGNAL_EXIT[self._signals.received], why)
            while (command := self._inbox.take()) is not None:
                name = type(command).__name__.lower()
                if not isinstance(command, commands.Stop | commands.Resume):
                    self.emit(events.CommandRejected(id=command.id, command=name, reason=why))
                    continue
                self.emit(
                    events.CommandAccepted(id=command.id, command=name, source=command.source)
                )
                self._done(command, time.monotonic())
                if isinstance(command, commands.Stop):
                    raise Stopped(ExitCode.NO_SPACE, why)
                return
            time.sleep(POLL_S)

    def close(self) -> None:
        """Answer the commands that no boundary will come for: the last epoch is over."""
        if self._stop_after_epoch is not None:
            self._done(self._stop_after_epoch, time.monotonic())
        while (command := self._inbox.take()) is not None:
            name = type(command).__name__.lower()
            self.emit(events.CommandRejected(id=command.id, command=name, reason="the run is over"))
        self.world.tell(Decision.GO)


def _refusal(command: commands.AnyCommand, task: Stateful, *, paused: bool) -> str:
    if isinstance(command, commands.Discretise) and not isinstance(task, Discretisable):
        return "there are no alphas to discretise"
    if isinstance(command, commands.Pause) and paused:
        return "the run is paused already"
    if isinstance(command, commands.Resume) and not paused:
        return "the run is not paused"
    return ""


def _at(kind: type[Any], position: Position, **fields: Any) -> Any:
    return kind(
        epoch=position.epoch, step=position.step, global_step=position.global_step, **fields
    )
