"""What a run looks like without the dashboard: as lines, bars, event JSON, or nothing.

A printer takes the lines of the event log one by one. None of them changes the run, and none knows
whether the run is live or long over.
"""

import re
import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

import msgspec

from darts_engine.run import events
from darts_engine.run.events import AnyEvent
from darts_engine.run.state import RunState, fold
from darts_tui.console.event_text import note
from darts_tui.console.safe_text import clean

if TYPE_CHECKING:
    from rich.progress import TaskID


class Printer(Protocol):
    """Shows events as they come."""

    def take(self, line: bytes, event: AnyEvent | None, /) -> None:
        """Show a line of the log; `event` is its event, None where this program knows none."""

    def close(self) -> None:
        """The last line was shown."""


class Quiet:
    """Shows nothing."""

    def take(self, _line: bytes, _event: AnyEvent | None) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class Plain:
    """A line per epoch, and what is out of the ordinary; last, what was found."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def take(self, _line: bytes, event: AnyEvent | None) -> None:
        """Print the event's note, if it is worth one."""
        if event is None or is_routine(event):
            return
        if text := note_line(event):
            print(text, file=self._out, flush=True)
        if isinstance(event, events.RunFinished) and event.text:
            print(clean(event.text), file=self._out, flush=True)

    def close(self) -> None:
        """Nothing to do."""


def is_routine(event: AnyEvent) -> bool:
    """Whether an event comes up in every epoch and says little without a dashboard around it."""
    if isinstance(event, events.CheckpointSaved):
        return event.reason in ("epoch", "time", "best")
    return isinstance(event, events.GenotypeDerived)


def note_line(event: AnyEvent) -> str:
    """An event as "14:03:07 epoch  epoch 3: ..."; empty for events that only panels show."""
    told = note(event)
    if told is None:
        return ""
    mark = "" if told.level == "info" else f"{told.level}: "
    return f"{time.strftime('%H:%M:%S', time.localtime(event.t))} {told.tag:<6} {mark}" + clean(
        told.text
    )


class _Numbered(msgspec.Struct):
    seq: int


_numbered = msgspec.json.Decoder(_Numbered)
# Characters a terminal may obey that JSON allows to stand in a string as they are.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def seq_of(line: bytes) -> int:
    """The sequence number of an event line, of whatever version; 0 when it is no event."""
    try:
        return _numbered.decode(line).seq
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0


def safe_json(line: bytes) -> str:
    r"""An event line as it is on the disk, characters that steer a terminal as \\u escapes."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode("utf-8", "replace"))


class Json:
    """Event lines as they are on the disk; lines that are no events are left out."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def take(self, line: bytes, event: AnyEvent | None) -> None:
        """Print the line."""
        if event is not None or seq_of(line):
            print(safe_json(line), file=self._out, flush=True)

    def close(self) -> None:
        """Nothing to do."""


class Bars:
    """Two live bars, the epoch and the run, with the notes scrolling by above them."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._state = RunState()
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self._console,
            refresh_per_second=4,
        )
        self._epoch = self._bars.add_task("epoch", total=1, figures="")
        self._run = self._bars.add_task("run", total=1, figures="")
        self._bars.start()

    def take(self, _line: bytes, event: AnyEvent | None) -> None:
        """Move the bars, and print the event's note above them."""
        if event is None:
            return
        state = fold(self._state, event)
        if text := note_line(event):
            self._console.print(text, style=_style(event), soft_wrap=True)
        if state.started is None and state.download:
            done, total = state.download.done_bytes, state.download.total_bytes
            self._move(self._run, "download", done // 1_000_000, total // 1_000_000, "MB")
        if state.started is None:
            return
        per_epoch = state.started.steps_per_epoch
        self._move(self._epoch, f"epoch {state.epoch}", state.step, per_epoch, _loss(event))
        planned = per_epoch * state.started.epochs
        best = state.best
        figures = f"best {best.valid_top1:.1f} %" if best and best.valid_top1 else ""
        self._move(self._run, state.phase, state.global_step, planned, figures)

    def _move(self, task: "TaskID", label: str, done: int, total: int, figures: str) -> None:
        self._bars.update(task, description=f"{label:<9}", completed=done, total=max(1, total))
        if figures:
            self._bars.update(task, figures=figures)

    def close(self) -> None:
        """Leave the bars as they are and give the cursor back."""
        self._bars.stop()


def _loss(event: AnyEvent) -> str:
    if isinstance(event, events.StepFinished) and event.train_loss is not None:
        return f"loss {event.train_loss:.3f}"
    return ""


def _style(event: AnyEvent) -> str:
    told = note(event)
    return {"warning": "yellow", "error": "red"}.get(told.level if told else "", "")
