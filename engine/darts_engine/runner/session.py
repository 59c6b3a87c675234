"""Writes events, executes commands and saves checkpoints for one run.

The loop calls `boundary` between steps and `save` at epochs' ends. Everything that may hold the run
up (a pause, a full disk) happens in these two, never inside a step.
"""

import errno
import sys
import time
from typing import Any

from darts_engine.compute.parallel import KEEP_ALIVE_S, Decision, World
from darts_engine.run import commands, events
from darts_engine.run.errors import ExitCode, SpaceError
from darts_engine.run.log import EventLog
from darts_engine.runner import checkpoint
from darts_engine.runner.hold import Hold
from darts_engine.runner.inbox import SIGNAL_EXIT, Inbox, Signals
from darts_engine.runner.position import Position
from darts_engine.runner.restore import Restorer
from darts_engine.runner.task import Discretisable, Reporting, RollsBack, Stateful

POLL_S = 0.05
RETRY_S = 1.0
FETCH_EVENTS_S = 1.0


class Stopped(Exception):  # noqa: N818  a way for a run to end, not a fault
    """Ends the run between two steps; has the exit code and the reason."""

    def __init__(self, exit_code: ExitCode, reason: str) -> None:
        super().__init__(reason)
        self.exit_code, self.reason = exit_code, reason


class Session:
    """Events, commands and checkpoints of a run, on rank 0.

    Args:
        hold: the run, held by this process.
        log: its event log, open for appending.
        signals: the signals that this process has received.
        inbox: the commands since the engine took the lock.
        keep: automatic checkpoints to keep.
        checkpoint_seconds: save when the last checkpoint is this old, in seconds; 0 = never.
        is_strict: whether a checkpoint of other versions, threads or devices is refused.

    Attributes:
        leads: whether this process writes events and checkpoints; only rank 0 does.
        origin: what checkpoints say of the run, and must have in common with it to be loaded.
        world: the processes that share the run. At every boundary this session announces to the
            others what to do next, because reporting and saving take all of them.
    """

    leads = True

    def __init__(
        self,
        hold: Hold,
        log: EventLog,
        signals: Signals,
        inbox: Inbox,
        *,
        keep: int,
        checkpoint_seconds: float,
        is_strict: bool = False,
    ) -> None:
        self._hold, self.folder, self.log = hold, hold.folder, log
        self.origin = checkpoint.Origin()
        self.world = World()
        self._signals, self._inbox = signals, inbox
        self._keep, self._checkpoint_seconds = keep, checkpoint_seconds
        self._is_strict = is_strict
        self._saved_at = time.monotonic()
        self._fetched_at = 0.0
        self._stop_after_epoch: commands.Stop | None = None

    def join(self, world: World) -> None:
        """Lead the processes of a world."""
        self.world = world

    def emit(self, event: events.Event) -> None:
        """Write an event. On a full disk it is dropped; the log itself reports that later."""
        self.log.append(event)

    def note(self, message: str, level: str = "info") -> None:
        """Write a message for people; `level` is info, warning or error."""
        self.emit(events.LogWritten(level=level, message=message))

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        """Report how much of a file is downloaded, and obey a signal or a stop command.

        Called before the run starts, when every other command is rejected.

        Raises:
            Stopped: a signal or command ends the run.
        """
        now = time.monotonic()
        if now - self._fetched_at >= FETCH_EVENTS_S or done_bytes == total_bytes:
            self._fetched_at = now
            self.emit(
                events.DownloadProgressed(file=file, done_bytes=done_bytes, total_bytes=total_bytes)
            )
            self._look_after_files()
        if self._signals.received is not None:
            raise Stopped(SIGNAL_EXIT[self._signals.received], self._signals.received.name)
        while (command := self._inbox.take()) is not None:
            if not isinstance(command, commands.Stop):
                self._reject(command, "the run has not begun: its data set is being downloaded")
                continue
            self._accept(command)
            self._done(command, now)
            raise Stopped(ExitCode.OK, "command")

    def report_repairs(self) -> None:
        """Write how much of the log was moved aside when it was opened, if any."""
        if self.log.repaired_bytes:
            moved = f"moved {self.log.repaired_bytes} bytes of a torn line to"
            self.note(f"{moved} {self.folder.torn_events.name}")

    def restore(self, task: Stateful) -> Position:
        """Load the newest checkpoint that can be trusted into a new task; see `Restorer`."""
        # Reading a data set may have taken long.
        self._look_after_files()
        return self._restorer().restore(task)

    def roll_back(self, task: RollsBack) -> Position:
        """Take a task back to the epoch that its `rollback` names, and save what it is then."""
        position = self._restorer().roll_back(task)
        self.save(task, position, reason="epoch")
        return position

    def best_state(self) -> dict[str, Any] | None:
        """The state at the end of the best epoch; None if no checkpoint of it can be read."""
        return self._restorer().best_state()

    def _restorer(self) -> Restorer:
        return Restorer(self.folder, self.log, self.world, self.origin, self._is_strict)

    def boundary(self, task: Stateful, position: Position) -> None:
        """Between two steps: execute commands, obey signals, and save if a checkpoint is due.

        Raises:
            Stopped: a signal or command ends the run; its checkpoint is saved.
        """
        self._execute_commands(task, position)
        due = self._checkpoint_seconds
        if due and time.monotonic() - self._saved_at >= due and not position.is_epoch_done:
            self.save(task, position, reason="time")
        if position.is_epoch_done and self._stop_after_epoch is not None:
            self._stop(task, position, self._stop_after_epoch)
        self.world.announce(Decision.GO)

    def report(self, task: Reporting, position: Position) -> None:
        """Write the events of a step."""
        self.world.announce(Decision.REPORT)
        for event in task.report(position):
            self.emit(event)

    def dismiss(self, code: ExitCode) -> None:
        """End the other processes with this one's exit code."""
        self.world.announce(Decision.STOP, code)

    def _execute_commands(self, task: Stateful, position: Position) -> None:
        self._look_after_files()
        if self._signals.received is not None:
            self._end_by_signal(task, position)
        while (command := self._inbox.take()) is not None:
            self._execute(command, task, position)

    def _look_after_files(self) -> None:
        """End if the run is no longer this engine's, and mend what was taken from under it.

        Raises:
            NotFoundError: the folder was deleted, moved or replaced.
            BusyError: another engine has taken the run over.
        """
        if self._hold.check():
            self.note("engine.lock was deleted or replaced: the engine made it anew", "warning")
        if said := self.log.mend():
            self.note(said, "warning")
            if self.log.is_adrift:
                # No reader sees the note.
                print(said, file=sys.stderr)

    def _end_by_signal(self, task: Stateful, position: Position) -> None:
        received = self._signals.received
        assert received is not None
        self.emit(events.RunStopping(reason=received.name))
        self.save(task, position, reason="stop")
        raise Stopped(SIGNAL_EXIT[received], received.name)

    def _execute(
        self,
        command: commands.AnyCommand,
        task: Stateful,
        position: Position,
        *,
        paused: bool = False,
    ) -> bool:
        """Execute one command. Returns: whether it ends a pause."""
        began = time.monotonic()
        if refusal := _refusal(command, task, paused=paused):
            self._reject(command, refusal)
            return False
        self._accept(command)
        match command:
            case commands.Pause():
                self._done(command, began)
                self._pause(task, position, "command")
            case commands.Checkpoint():
                self.save(task, position, reason="command")
                self._done(command, began)
            case commands.Discretise() if isinstance(task, Discretisable):
                self.world.announce(Decision.MEASURE)
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

    def _accept(self, command: commands.Command) -> None:
        name, source = _name(command), command.source
        self.emit(events.CommandAccepted(id=command.id, command=name, source=source))

    def _done(self, command: commands.Command, began: float) -> None:
        seconds = round(time.monotonic() - began, 3)
        self.emit(events.CommandDone(id=command.id, command=_name(command), seconds=seconds))

    def _reject(self, command: commands.Command, reason: str) -> None:
        name = _name(command)
        self.emit(events.CommandRejected(id=command.id, command=name, reason=reason))

    def _stop(self, task: Stateful, position: Position, command: commands.Stop) -> None:
        began = time.monotonic()
        if self._stop_after_epoch is not command:
            self.emit(events.RunStopping(reason="command"))
        # If the state cannot be saved because of a number in it, the run goes back and stops there.
        self._stop_after_epoch = command
        self.save(task, position, reason="stop")
        self._done(command, began)
        raise Stopped(ExitCode.OK, "command")

    def _pause(self, task: Stateful, position: Position, reason: str) -> None:
        """Wait for the command to go on; other commands are executed meanwhile."""
        self.emit(position.stamp(events.RunPaused, reason=reason))
        self.log.sync()
        announced = time.monotonic()
        while True:
            if time.monotonic() - announced >= KEEP_ALIVE_S:
                self.world.announce(Decision.WAIT)
                announced = time.monotonic()
            if self._signals.received is not None:
                self._end_by_signal(task, position)
            self._look_after_files()
            while (command := self._inbox.take()) is not None:
                if self._execute(command, task, position, paused=True):
                    self.emit(position.stamp(events.RunContinued))
                    if self._stop_after_epoch is not None:
                        self.emit(events.RunStopping(reason="after this epoch"))
                    return
            time.sleep(POLL_S)

    def save(self, task: Stateful, position: Position, *, reason: str) -> None:
        """Save a checkpoint. While it cannot be written, as on a full disk, the run is paused.

        Raises:
            Stopped: a signal or command ended the pause; older checkpoints are untouched.
            NotFoundError: the run folder is gone, or another is in its place.
            BusyError: another engine has taken the run over.
            NotFiniteError: the state holds a number that is not finite.
        """
        self.world.announce(Decision.SAVE)
        state = task.state()
        self._look_after_files()
        # The checkpoint counts these events as done: they have to survive a power loss too.
        self.log.sync()
        has_waited = is_reported = False
        while True:
            try:
                saved = checkpoint.save(
                    self.folder,
                    state,
                    position,
                    reason=reason,
                    seq=self.log.last_seq,
                    origin=self.origin,
                )
                break
            except (SpaceError, OSError) as error:
                self._look_after_files()
                # The log is on the same full disk: repeat the event until it is written.
                why = self._why_unsaved(error)
                is_reported = is_reported or self.log.append(
                    position.stamp(events.RunPaused, reason=why)
                )
                has_waited = True
                self._wait_for_room(why)
        if has_waited:
            self.emit(position.stamp(events.RunContinued))
        self._saved_at = time.monotonic()
        self.emit(
            position.stamp(
                events.CheckpointSaved,
                path=str(saved.path.relative_to(self.folder.path)),
                reason=reason,
                size_bytes=saved.size_bytes,
                seconds=round(saved.seconds, 3),
            )
        )
        ended = position.epoch if position.is_epoch_done else position.epoch - 1
        needed = task.may_return_to(ended) if isinstance(task, RollsBack) else ()
        checkpoint.prune(self.folder, self._keep, needed)

    def _why_unsaved(self, error: SpaceError | OSError) -> str:
        if isinstance(error, SpaceError):
            free = self.folder.free_bytes() / 1e6
            return f"disk full: {error.what}, {free:.1f} MB free, {self.folder.checkpoints}"
        name = errno.errorcode.get(error.errno or 0, "no errno")
        file = error.filename or self.folder.checkpoints
        return f"the checkpoint cannot be saved: {error.strerror} ({name}), {file}"

    def _wait_for_room(self, why: str) -> None:
        """Wait a second before the next try. A signal or a stop command still ends the run."""
        self.world.announce(Decision.WAIT)
        until = time.monotonic() + RETRY_S
        while time.monotonic() < until:
            if self._signals.received is not None:
                raise Stopped(SIGNAL_EXIT[self._signals.received], why)
            while (command := self._inbox.take()) is not None:
                if not isinstance(command, commands.Stop | commands.Resume):
                    self._reject(command, why)
                    continue
                self._accept(command)
                self._done(command, time.monotonic())
                if isinstance(command, commands.Stop):
                    raise Stopped(ExitCode.NO_SPACE, why)
                return
            time.sleep(POLL_S)

    def close(self) -> None:
        """Answer the commands that came after the last boundary of the run.

        Raises:
            NotFoundError: the run folder is gone, or another is in its place.
            BusyError: another engine has taken the run over.
        """
        self._look_after_files()
        if self._stop_after_epoch is not None:
            self._done(self._stop_after_epoch, time.monotonic())
        while (command := self._inbox.take()) is not None:
            self._reject(command, "the run is over")
        self.world.announce(Decision.GO)


def _name(command: commands.Command) -> str:
    return type(command).__name__.lower()


def _refusal(command: commands.AnyCommand, task: Stateful, *, paused: bool) -> str:
    if isinstance(command, commands.Discretise) and not isinstance(task, Discretisable):
        return "there are no alphas to discretise"
    if isinstance(command, commands.Pause) and paused:
        return "the run is paused already"
    if isinstance(command, commands.Resume) and not paused:
        return "the run is not paused"
    return ""
