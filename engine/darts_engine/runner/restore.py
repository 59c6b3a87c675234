"""Brings a task back to a checkpoint, and writes into the log which work that undoes.

Two occasions: an engine takes a run up again (`Restorer.restore`), and a run goes back to the end
of an earlier epoch by its own decision (`Restorer.roll_back`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darts_engine.compute.parallel import World
from darts_engine.run import events
from darts_engine.run.errors import CheckpointError, ForeignError, NotRepeatableError
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import STARTED, EventLog, LogReader
from darts_engine.run.settings.edits import REPORTED, edits
from darts_engine.runner import checkpoint
from darts_engine.runner.checkpoint import Manifest, Origin
from darts_engine.runner.position import Position
from darts_engine.runner.task import RollsBack, Stateful

# The end of the log that is searched for work after a checkpoint.
LOST_WORK_BYTES = 1 << 20
NEW_RUN = "start a new run with --config on this run's config.toml"


@dataclass(frozen=True)
class Restorer:
    """Loads checkpoints of one run into its task, on rank 0.

    Args:
        folder: the run; its lock must be held by this process.
        log: its event log, open for appending.
        world: the processes that share the run; rank 0 sends them the checkpoint's name.
        origin: of the run; a checkpoint of another one is refused, and differences that are allowed
            are reported.
        is_strict: whether such a difference is refused instead.
    """

    folder: RunFolder
    log: EventLog
    world: World
    origin: Origin
    is_strict: bool = False

    def restore(self, task: Stateful) -> Position:
        """Load the newest checkpoint that can be trusted, if there is any, into a new task.

        One that is damaged, of another run, or made with settings that must not be edited is
        passed over, and the log says why. Writes `Rewound` if the log holds work that came after
        the checkpoint.

        Returns:
            Where the task stands; the beginning if the run has no checkpoint.

        Raises:
            CheckpointError: the checkpoints are all of other runs or settings, or damaged. Restore
                the run's own config.toml, or start a new run.
            NotRepeatableError: a strict resume would not repeat the bits of before.
        """
        checkpoint.sweep(self.folder)
        refused: CheckpointError | None = None
        foreign: ForeignError | None = None
        for path in checkpoint.newest_first(self.folder):
            try:
                manifest = checkpoint.read_manifest_in(self.folder, path)
                state = checkpoint.load(self.folder, manifest)
                before = self._refuse_foreign(manifest)
            except CheckpointError as error:
                refused = error
                if isinstance(error, ForeignError):
                    foreign = foreign or error
                self._note(str(error).replace("\n", "; "), "error")
                continue
            differences = self._differences(manifest.environment)
            if differences and self.is_strict:
                raise _not_repeatable(differences, self.folder.checkpoints / manifest.file)
            self.world.text_of_rank_0(path.name)
            with checkpoint.fitting(path):
                task.load_state(state)
            for difference in differences:
                self._note(f"{difference}: results may differ in the last digits", "warning")
            self._report_edits(before)
            # A log that lost its end must not number new events as older than the checkpoint.
            self.log.last_seq = max(self.log.last_seq, manifest.seq)
            if refused is not None or self._has_work_after(manifest.seq):
                self.log.append(_rewound(manifest))
            return manifest.position
        if foreign is not None:
            raise foreign
        if refused is not None:
            raise CheckpointError(
                "no checkpoint of this run can be trusted", where=refused.where, remedy=NEW_RUN
            )
        if self._has_work_after(0):
            self.log.append(events.Rewound(to_seq=0, to_step=0, to_epoch=0, checkpoint=""))
        self.world.text_of_rank_0("")
        return Position()

    def best_state(self) -> dict[str, Any] | None:
        """The state at the end of the run's best epoch; None, and a note, if it cannot be read."""
        for path in checkpoint.newest_first(self.folder):
            try:
                manifest = checkpoint.read_manifest_in(self.folder, path)
                if manifest.reason == "best":
                    checkpoint.refuse_foreign(self.folder, manifest, self.origin.identity)
                    state = checkpoint.load(self.folder, manifest)
                    self.world.text_of_rank_0(path.name)
                    return state
            except CheckpointError as error:
                self._note(str(error).replace("\n", "; "), "error")
        self._note("no checkpoint of the best epoch: the last one's weights are tested", "warning")
        self.world.text_of_rank_0("")
        return None

    def roll_back(self, task: RollsBack) -> Position:
        """Take a task back to the end of the epoch that its `rollback` names.

        Returns:
            Where the task stands. The caller saves it: an engine killed before that repeats the
            last epoch and rolls back again.

        Raises:
            CheckpointError: no checkpoint of that epoch's end can be trusted. Start a new run.
        """
        rollback = task.rollback
        assert rollback is not None
        path, manifest, state = self._end_of(rollback.epoch)
        self.world.text_of_rank_0(path.name)
        with checkpoint.fitting(path):
            changes = task.roll_back(state, manifest.position)
        self.log.append(_rewound(manifest, reason=rollback.reason, schedules=task.schedules()))
        for event in changes:
            self.log.append(event)
        return manifest.position

    def _end_of(self, epoch: int) -> tuple[Path, Manifest, dict[str, Any]]:
        """The newest checkpoint of an epoch's end that can be trusted."""
        refused = ""
        for path in checkpoint.newest_first(self.folder):
            try:
                manifest = checkpoint.read_manifest_in(self.folder, path)
                if manifest.position.epoch == epoch and manifest.position.is_epoch_done:
                    checkpoint.refuse_foreign(self.folder, manifest, self.origin.identity)
                    return path, manifest, checkpoint.load(self.folder, manifest)
            except CheckpointError as error:
                refused = str(error).replace("\n", "; ")
                self._note(refused, "error")
        raise CheckpointError(
            f"the run has to go back to the end of epoch {epoch}, and its checkpoint is "
            f"{'refused' if refused else 'missing'}",
            where=str(self.folder.checkpoints),
            remedy=NEW_RUN,
        )

    def _has_work_after(self, seq: int) -> bool:
        """Whether the log holds work after the event `seq`."""
        start = max(0, self.folder.size_of(self.folder.events) - LOST_WORK_BYTES)
        history = LogReader(self.folder.events, offset=start).read(LOST_WORK_BYTES)
        # If the stretch begins after the checkpoint's events, it may miss some of the work.
        newer_only = bool(history) and history[0].seq > seq + 1
        return newer_only or any(isinstance(e, events.WORK) and e.seq > seq for e in history)

    def _differences(self, before: dict[str, str]) -> list[str]:
        """What decides the last digits and is not as it was, with both values."""
        now = self.origin.environment
        return [
            f"{key} was {before.get(key, 'not recorded')} and is {mine}"
            for key, mine in now.items()
            if before.get(key) != mine
        ]

    def _refuse_foreign(self, manifest: Manifest) -> dict[str, Any]:
        """Refuse a checkpoint of another run. Returns: the settings that it was made with."""
        checkpoint.refuse_foreign(self.folder, manifest, self.origin.identity)
        before = manifest.config or self._config_at(manifest.seq)
        checkpoint.refuse_edited(self.folder, before, self.origin, manifest.file)
        return before

    def _config_at(self, seq: int) -> dict[str, Any]:
        """The settings of the engine that wrote event `seq`, by the log; empty if it lacks them.

        Checkpoints of versions up to 0.2.0 do not have them.
        """
        found: dict[str, Any] = {}
        reader = LogReader(self.folder.events)
        while True:
            before = reader.offset
            lines = reader.read_lines()
            for line in (line for line in lines if line.startswith(STARTED)):
                event = reader.decode(line)
                if isinstance(event, events.RunStarted) and event.seq <= seq:
                    found = event.config
            if reader.offset == before:
                return found

    def _report_edits(self, before: dict[str, Any]) -> None:
        for edit in edits(before, self.origin.config):
            if edit.key not in REPORTED:
                level = "warning" if edit.changes_results else "info"
                self._note(f"{edit} in config.toml since the checkpoint", level)

    def _note(self, message: str, level: str) -> None:
        self.log.append(events.LogWritten(level=level, message=message))


def _not_repeatable(differences: list[str], file: Path) -> NotRepeatableError:
    return NotRepeatableError(
        f"a strict resume would not repeat the same bits: {', '.join(differences)}",
        where=str(file),
        remedy="resume the run where it was, or without --strict: its log then names what differs",
    )


def _rewound(manifest: Manifest, **fields: Any) -> events.Rewound:
    return events.Rewound(
        to_seq=manifest.seq,
        to_step=manifest.position.global_step,
        to_epoch=manifest.position.epoch,
        checkpoint=manifest.file,
        **fields,
    )
