"""Reads where a run is from the two ends of its log, however long that is.

The first event describes the run. From the end backwards, a line is kept if it still decides
something: the phase, the position, the newest genotype, the pace, the best epoch. What is kept
is then folded like a whole log.
"""

import math
import re
from collections.abc import Iterator

import msgspec

from darts_engine.run import events
from darts_engine.run.backwards import blocks_from_the_end
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder
from darts_engine.run.liveness import observe
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold_all, score
from darts_tui.runs.summary import summary

# A log up to this size is read whole.
SMALL_BYTES = 2 << 20
HEAD_BYTES = 2 << 20
PIECE_BYTES = 64 << 10
BLOCK_BYTES = 1 << 20
# Epochs that the pace is computed from, as `RunState.eta_s` does.
PACE_EPOCHS = 5

_PHASE = frozenset(
    {
        *("run_started", "run_paused", "run_continued", "run_stopping", "run_stopped"),
        *("run_finished", "run_failed"),
    }
)
# These have the global step.
_POSITION = frozenset(
    {
        *("step_finished", "alpha_sampled", "genotype_derived", "epoch_finished", "run_paused"),
        *("run_stopped", "rewound"),
    }
)
# What each open question is decided by; a rewind has a part in all of them.
_DECIDED_BY = {
    "last": events.TYPES,
    "phase": _PHASE | {"epoch_started"},
    "position": _POSITION | {"epoch_started"},
    "steps": frozenset({"epoch_started"}),
    "started": frozenset({"run_started"}),
    "genotype": frozenset({"genotype_derived", "run_finished"}),
    "pace": frozenset({"epoch_finished"}),
    "best": frozenset({"epoch_finished"}),
}
# The start of a line as the engine writes it; in another spelling it is decoded for its type.
_TYPE = re.compile(rb'\{"type":"([a-z_]+)"')
# Eight letters behind that tell a line's type, in a tenth of the time that a pattern takes.
_LETTERS = slice(len(b'{"type":"'), len(b'{"type":"') + 8)


def outcome(folder: RunFolder, *, tail_bytes: int = 0, max_bytes: int | None = None) -> RunState:
    """The run's state, with the figures that a list of runs shows.

    These are as in the fold of the whole log: phase, epoch, global step, `started`, `best`,
    `eta_s`, `final_genotype`, first and last time, `result` and `failure`. Curves, alphas,
    measurements and lists of epochs lack what is not needed for them.

    Args:
        folder: the run.
        tail_bytes: all events of the log's last bytes, and a few before them, are folded.
        max_bytes: stop after as many; the best epoch may be missing then.
    """
    if folder.size_of(folder.events) <= SMALL_BYTES:
        if tail_bytes:
            return fold_all(LogReader(folder.events).read())
        return summary(folder)
    state = fold_all(_head(folder))
    search = _Search(folder, state)
    fold_all(search.kept_events(tail_bytes, max_bytes), state)
    if search.is_in_steps:
        state.phase = "running"
    return state


def observed(folder: RunFolder) -> tuple[RunState, str]:
    """The run's outcome, and what `liveness.observe` makes of it."""
    state = outcome(folder)
    live = observe(folder, state)
    if live == "dead":
        # The engine may have ended after the log was read and before its lock was checked.
        state = outcome(folder)
        live = observe(folder, state)
    return state, live


def _head(folder: RunFolder) -> Iterator[AnyEvent]:
    """The first events, up to the one that describes the run."""
    reader = LogReader(folder.events)
    before = -1
    # A piece may have no readable event. The log ends where the offset stays the same.
    while before < reader.offset < HEAD_BYTES:
        before = reader.offset
        for event in reader.read(PIECE_BYTES):
            yield event
            if isinstance(event, events.RunStarted):
                return


class _Search:
    """Finds the events that decide the outcome, from the end backwards.

    Args:
        folder: the run.
        head: the fold of its first events.

    Attributes:
        is_in_steps: whether the engine was in the middle of an epoch, and neither paused nor
            stopping.
    """

    def __init__(self, folder: RunFolder, head: RunState) -> None:
        self._path = folder.events
        self._reader = LogReader(folder.events)
        self._kept: list[AnyEvent] = []
        self._undone: list[tuple[int, int]] = []
        self._epochs, self._best = 0, -math.inf
        self._has_rolled_back = False
        self.is_in_steps = False
        self._open = {"last", "phase", "position", "steps", "genotype", "pace", "best"}
        if head.kind == "train":
            self._open.discard("genotype")
        started, record = head.started, folder.read_engine()
        if not started or (record and (record.pid != started.pid or record.started > started.t)):
            # Another engine took the run up, perhaps for more epochs.
            self._open.add("started")
        self._wanted = self._deciding()

    def kept_events(self, tail_bytes: int, max_bytes: int | None) -> list[AnyEvent]:
        """What has to be folded, the oldest first."""
        count = 0
        for block in blocks_from_the_end(self._path, BLOCK_BYTES):
            lines = block.split(b"\n")
            lines.reverse()
            is_tail = count < tail_bytes
            count += len(block)
            if not is_tail:
                skipped = self._undeciding()
                lines = [line for line in lines if line[_LETTERS] not in skipped]
            for line in lines:
                self._take(line, is_kept=is_tail)
            if not self._open or (max_bytes is not None and count >= max_bytes):
                break
        return self._kept[::-1]

    def _deciding(self) -> set[str]:
        """The types of events that may decide what is open."""
        return {"rewound"}.union(*(_DECIDED_BY[question] for question in self._open))

    def _undeciding(self) -> set[bytes]:
        """How lines of all other types begin, in the letters at `_LETTERS`."""
        deciding = self._deciding()
        begins = {kind: f'{kind}"'[:8].encode() for kind in events.TYPES}
        return set(begins.values()) - {begins[kind] for kind in deciding}

    def _take(self, line: bytes, *, is_kept: bool) -> None:
        """Keep the event on a line if it decides something that is still open."""
        kind = _type_of(line)
        if is_kept or kind in self._wanted:
            event = self._reader.decode(line) if line else None
            if event is not None and (self._decides(kind, event) or is_kept):
                self._kept.append(event)
                self._wanted = self._deciding()

    def _decides(self, kind: str, event: AnyEvent) -> bool:
        opened = self._open
        before = len(opened)
        opened.discard("last")
        is_restart = isinstance(event, events.Rewound) and not event.reason
        if kind in _PHASE or is_restart:
            opened.discard("phase")
        elif kind == "epoch_started" and "phase" in opened:
            # Pauses and stops are told of after the start of the epoch in which they happen.
            opened.discard("phase")
            self.is_in_steps = True
        is_new_position = "position" in opened and kind == "epoch_started"
        if kind == "epoch_started":
            opened.discard("steps")
        if kind in _POSITION:
            opened.discard("position")
        if kind == "run_started":
            opened.discard("started")
        if isinstance(event, events.Rewound):
            self._undone.append((event.to_seq, event.seq))
            self._has_rolled_back = self._has_rolled_back or bool(event.reason)
            return True
        if any(first < event.seq < last for first, last in self._undone):
            return len(opened) < before
        if isinstance(event, events.RunFinished) and event.genotype:
            opened.discard("genotype")
        if kind == "genotype_derived":
            opened.discard("genotype")
        if isinstance(event, events.EpochFinished):
            return self._decides_as_epoch(event) or len(opened) < before
        return is_new_position or len(opened) < before

    def _decides_as_epoch(self, event: events.EpochFinished) -> bool:
        self._epochs += 1
        opened, found = self._open, score(event)
        gives_pace = "pace" in opened
        if self._epochs >= PACE_EPOCHS:
            opened.discard("pace")
        # Of equal ones the first counts.
        is_best = "best" in opened and found is not None and found >= self._best
        if is_best and found is not None:
            self._best = found
            # A search that went back may have had a better one that no longer counts.
            if event.is_best and not self._has_rolled_back:
                opened.discard("best")
        return gives_pace or is_best


def _type_of(line: bytes) -> str:
    match = _TYPE.match(line)
    if match:
        return match[1].decode()
    try:
        return str(_any_type.decode(line).type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


class _Typed(msgspec.Struct):
    type: str


_any_type = msgspec.json.Decoder(_Typed)
