"""Takes the place of the session on ranks above 0, which write nothing and decide nothing.

They run the same loop as rank 0 and do at every boundary what rank 0 announces, so that all ranks
take part in the same sums.
"""

import signal
from typing import Any

from darts_engine.compute.parallel import Decision, World
from darts_engine.run import events
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder
from darts_engine.runner import checkpoint
from darts_engine.runner.checkpoint import Origin
from darts_engine.runner.inbox import SIGNAL_EXIT
from darts_engine.runner.position import Position
from darts_engine.runner.session import Stopped
from darts_engine.runner.task import Discretisable, Reporting, RollsBack, Stateful


class Follower:
    """Has the methods of a `Session`, without writing to the run or reading its commands.

    Args:
        folder: the run; nothing is written to it.
    """

    leads = False

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.origin = Origin()
        self.world = World()

    def join(self, world: World) -> None:
        """Follow rank 0 of a world. From here on signals are ignored: rank 0 ends this process."""
        self.world = world
        for number in (*SIGNAL_EXIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def emit(self, event: events.Event) -> None:
        """Does nothing: rank 0 writes it."""

    def note(self, message: str, level: str = "info") -> None:
        """Does nothing: rank 0 writes it."""

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        """Does nothing: rank 0 writes it."""

    def report_repairs(self) -> None:
        """Does nothing: rank 0 writes it."""

    def restore(self, task: Stateful) -> Position:
        """Load the checkpoint that rank 0 has loaded.

        Raises:
            CheckpointError: this process cannot read it, or it does not fit.
        """
        name = self.world.text_of_rank_0()
        if not name:
            return Position()
        path = self.folder.checkpoints / name
        manifest = checkpoint.read_manifest(path)
        with checkpoint.fitting(path):
            task.load_state(checkpoint.load(self.folder, manifest))
        return manifest.position

    def roll_back(self, task: RollsBack) -> Position:
        """Go back to the checkpoint that rank 0 goes back to.

        Raises:
            CheckpointError: this process cannot read it, or it does not fit.
        """
        path = self.folder.checkpoints / self.world.text_of_rank_0()
        manifest = checkpoint.read_manifest(path)
        with checkpoint.fitting(path):
            task.roll_back(checkpoint.load(self.folder, manifest), manifest.position)
        self.save(task, manifest.position, reason="epoch")
        return manifest.position

    def best_state(self) -> dict[str, Any] | None:
        """The state of the best epoch that rank 0 has read.

        Raises:
            CheckpointError: this process cannot read it.
        """
        name = self.world.text_of_rank_0()
        if not name:
            return None
        manifest = checkpoint.read_manifest(self.folder.checkpoints / name)
        return checkpoint.load(self.folder, manifest)

    def boundary(self, task: Reporting, position: Position) -> None:
        """Do what rank 0 announces, until it announces to go on.

        Raises:
            Stopped: the run ends here.
        """
        while (decision := self._next()) is not Decision.GO:
            if decision is Decision.SAVE:
                task.state()
            elif decision is Decision.MEASURE:
                assert isinstance(task, Discretisable)
                task.measure_gap(position)
            else:
                task.report(position)

    def save(self, task: Stateful, position: Position, *, reason: str) -> None:  # noqa: ARG002
        """Take part in collecting the state that rank 0 saves."""
        decision = self._next()
        assert decision is Decision.SAVE
        task.state()

    def report(self, task: Reporting, position: Position) -> None:
        """Does nothing: rank 0 announces it, and `boundary` takes part."""

    def dismiss(self, code: ExitCode) -> None:
        """Does nothing: rank 0 ends the processes."""

    def close(self) -> None:
        """Wait until rank 0 has closed the run."""
        decision = self._next()
        assert decision is Decision.GO

    def _next(self) -> Decision:
        while True:
            decision, detail = self.world.next_decision()
            if decision is Decision.STOP:
                raise Stopped(ExitCode(detail), "rank 0 stopped")
            if decision is not Decision.WAIT:
                return decision
