"""What a rank above 0 has in place of a session: it says nothing, decides nothing, and follows.

It goes through the same loop as rank 0, and at every boundary does what rank 0 tells, so that the
sums over ranks meet.
"""

import signal

from darts_engine.compute.parallel import Decision, World
from darts_engine.run import events
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder
from darts_engine.runner import checkpoint
from darts_engine.runner.inbox import SIGNAL_EXIT
from darts_engine.runner.position import Position
from darts_engine.runner.session import Stopped
from darts_engine.runner.task import Discretisable, Reporting, RollsBack, Stateful


class Follower:
    """The view of a `Session` without its hold on the run.

    Args:
        folder: the run; nothing is written to it.
    """

    leads = False

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.identity: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.world = World()

    def join(self, world: World) -> None:
        """Belong to a world; from here on only rank 0's word or end ends this process."""
        self.world = world
        for number in (*SIGNAL_EXIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def emit(self, event: events.Event) -> None:
        """Rank 0 says it."""

    def note(self, message: str, level: str = "info") -> None:
        """Rank 0 says it."""

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        """Rank 0 says it."""

    def tell_of_repairs(self) -> None:
        """Rank 0 says it."""

    def restore(self, task: Stateful) -> Position:
        """Load the checkpoint that rank 0 trusts, which has to be visible here too.

        Raises:
            CheckpointError: it is not, or does not fit.
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
        """Go back with rank 0, to the checkpoint that it trusts.

        Raises:
            CheckpointError: it is not visible here, or does not fit.
        """
        path = self.folder.checkpoints / self.world.text_of_rank_0()
        manifest = checkpoint.read_manifest(path)
        with checkpoint.fitting(path):
            task.roll_back(checkpoint.load(self.folder, manifest), manifest.position)
        self.save(task, manifest.position, reason="epoch")
        return manifest.position

    def boundary(self, task: Reporting, position: Position) -> None:
        """Do what rank 0 tells, until it tells to go on.

        Raises:
            Stopped: the run ends here.
        """
        while (told := self._next()) is not Decision.GO:
            if told is Decision.SAVE:
                task.state()
            elif told is Decision.MEASURE:
                assert isinstance(task, Discretisable)
                task.measure_gap(position)
            else:
                task.report(position)

    def save(self, task: Stateful, position: Position, *, reason: str) -> None:  # noqa: ARG002
        """Give what a checkpoint takes of every rank; rank 0 writes it."""
        told = self._next()
        assert told is Decision.SAVE
        task.state()

    def report(self, task: Reporting, position: Position) -> None:
        """Comes at the next boundary."""

    def dismiss(self, code: ExitCode) -> None:
        """Rank 0 does it."""

    def close(self) -> None:
        """Wait for the end."""
        told = self._next()
        assert told is Decision.GO

    def _next(self) -> Decision:
        while True:
            told, detail = self.world.hear()
            if told is Decision.STOP:
                raise Stopped(ExitCode(detail), "rank 0 said so")
            if told is not Decision.WAIT:
                return told
