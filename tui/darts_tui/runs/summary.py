"""Reads a run's whole log quickly, for commands that need its outcome and not every step."""

from collections.abc import Iterator

from darts_engine.run.folder import RunFolder
from darts_engine.run.liveness import observe
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold

# Most lines of a log are of these kinds, and only the last step matters to an outcome. They are
# recognised by the bytes that the engine writes; in any other spelling they are decoded like the
# rest.
_STEP = b'{"type":"step_finished"'
_SKIPPED = (b'{"type":"alpha_sampled"', b'{"type":"system_measured"', b'{"type":"health_measured"')


class RunSummary:
    """A run's state without its curves, alphas and measurements.

    The log is read once: every update folds only what was written since the last one.

    Attributes:
        state: as of the last update.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._reader = LogReader(folder.events)
        self.state = RunState()

    @property
    def offset(self) -> int:
        """Bytes of the log that were read: the end of its last whole line at the last update.

        An engine that takes the run up moves a torn line behind it aside, and writes from here on.
        """
        return self._reader.offset

    def update(self) -> RunState:
        """The state with all that the log has now."""
        step = b""
        for line in _lines(self._reader):
            if line.startswith(_STEP):
                step = line
                continue
            if line.startswith(_SKIPPED):
                continue
            self._fold(step)
            self._fold(line)
            step = b""
        self._fold(step)
        return self.state

    def _fold(self, line: bytes) -> None:
        event = self._reader.decode(line) if line else None
        if event is not None:
            fold(self.state, event)

    def observe(self) -> str:
        """Update, and return what `liveness.observe` makes of the run."""
        live = observe(self._folder, self.update())
        if live == "dead":
            # The engine may have ended after the log was read and before its lock was checked.
            live = observe(self._folder, self.update())
        return live


def summary(folder: RunFolder) -> RunState:
    """The run's state without its curves, alphas and measurements."""
    return RunSummary(folder).update()


def all_lines(folder: RunFolder) -> Iterator[bytes]:
    """Every whole line of the event log, as it is on the disk."""
    return _lines(LogReader(folder.events))


def _lines(reader: LogReader) -> Iterator[bytes]:
    while True:
        before = reader.offset
        lines = reader.read_lines()
        if not lines and reader.offset == before:
            return
        yield from lines
