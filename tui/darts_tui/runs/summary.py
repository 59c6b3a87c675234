"""Reading a run's whole log quickly, for commands that want its outcome and not every step."""

import os
from collections.abc import Iterator

from darts_engine.run.folder import RunFolder
from darts_engine.run.liveness import observe
from darts_engine.run.log import MAX_LINE_BYTES, LogReader
from darts_engine.run.state import RunState, fold

# Most of a log is lines of these kinds, and only the last step of them matters to an outcome.
# They are told by how the engine writes them; any other spelling is decoded like all else.
_STEP = b'{"type":"step_finished"'
_SKIPPED = (b'{"type":"alpha_sampled"', b'{"type":"system_measured"', b'{"type":"health_measured"')


def all_lines(folder: RunFolder) -> Iterator[bytes]:
    """Every whole line of the event log, as it is on the disk."""
    reader = LogReader(folder.events)
    while True:
        before = reader.offset
        lines = reader.read_lines()
        if not lines and reader.offset == before:
            return
        yield from lines


def end(folder: RunFolder) -> int:
    """Where the news begin: behind the last whole line, as the engine moves a torn one aside."""
    try:
        with folder.events.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - MAX_LINE_BYTES))
            return start + file.read(size - start).rfind(b"\n") + 1
    except OSError:
        return 0


def summarise(folder: RunFolder) -> tuple[RunState, str]:
    """The run's summary, and what `liveness.observe` makes of it."""
    state = summary(folder)
    live = observe(folder, state)
    if live == "dead":
        # It may have ended between our looks at its log and at its lock: hear its last words.
        state = summary(folder)
        live = observe(folder, state)
    return state, live


def summary(folder: RunFolder) -> RunState:
    """The run's state without its curves, alphas and measurements."""
    state, reader, step = RunState(), LogReader(folder.events), b""
    for line in all_lines(folder):
        if line.startswith(_STEP):
            step = line
            continue
        if line.startswith(_SKIPPED):
            continue
        for kept in (step, line):
            event = reader.decode(kept) if kept else None
            if event is not None:
                fold(state, event)
        step = b""
    event = reader.decode(step) if step else None
    return fold(state, event) if event is not None else state
