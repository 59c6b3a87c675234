"""Views of a run without the dashboard: lines, bars, event JSON, or nothing.

A printer takes the lines of the event log one by one. It does not change the run, and it works
alike for a live run and for one that ended long ago.
"""

import re
import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

import msgspec

from darts_engine.run import events
from darts_engine.run.events import AnyEvent
from darts_engine.run.state import RunState
from darts_tui.console.event_text import Note, note, score_text
from darts_tui.console.safe_text import clean

if TYPE_CHECKING:
    from rich.progress import TaskID


STYLES = {"warning": "yellow", "error": "red"}


class Printer(Protocol):
    """Shows events as they come."""

    def take(self, line: bytes, event: AnyEvent | None, /) -> None:
        """Show a line of the log and its event; None for a line that this program cannot decode."""

    def close(self) -> None:
        """Finish after the last line."""


class Quiet:
    """Shows nothing."""

    def take(self, _line: bytes, _event: AnyEvent | None) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class Plain:
    """Prints a line per epoch and for unusual events, and the result at the end."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def take(self, _line: bytes, event: AnyEvent | None) -> None:
        """Print the event's note, if it has one."""
        if event is None or is_routine(event):
            return
        if text := note_line(event):
            print(text, file=self._out, flush=True)
        if isinstance(event, events.RunFinished) and event.text:
            print(clean(event.text), file=self._out, flush=True)

    def close(self) -> None:
        """Nothing to do."""


def is_routine(event: AnyEvent) -> bool:
    """Whether an event comes in every epoch and means little outside the dashboard."""
    if isinstance(event, events.CheckpointSaved):
        return event.reason in ("epoch", "time", "best")
    return isinstance(event, events.GenotypeDerived)


def note_line(event: AnyEvent) -> str:
    """An event as "14:03:07 epoch  epoch 3: ..."; empty for events that only panels show."""
    found = note(event)
    return _with_clock(event, found) if found else ""


def _with_clock(event: AnyEvent, found: Note) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(event.t))
    return f"{clock} {found.tag:<6} {levelled(found)}"


def levelled(found: Note, limit: int = 0) -> str:
    """A note's text with its level in front, unless that is info.

    Args:
        found: the note.
        limit: longest text in characters; 0 = no limit.
    """
    mark = "" if found.level == "info" else f"{found.level}: "
    return mark + clean(found.text, limit)


class _Numbered(msgspec.Struct):
    seq: int


_numbered = msgspec.json.Decoder(_Numbered)
# JSON strings may hold these characters unescaped, and a terminal may obey them.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def seq_of(line: bytes) -> int:
    """The sequence number of an event line of any version; 0 for a line that is not an event."""
    try:
        return _numbered.decode(line).seq
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0


def safe_json(line: bytes) -> str:
    r"""An event line as it is on the disk, with characters that a terminal obeys as \\u escapes."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode("utf-8", "replace"))


class Json:
    """Prints event lines as they are on the disk, and leaves out lines that are not events."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def take(self, line: bytes, event: AnyEvent | None) -> None:
        """Print the line."""
        if event is not None or seq_of(line):
            print(safe_json(line), file=self._out, flush=True)

    def close(self) -> None:
        """Nothing to do."""


class Bars:
    """Two live bars, the epoch and the run, with the notes above them.

    Args:
        state: of the run; the caller folds each event into it before `take`.
    """

    def __init__(self, state: RunState) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._state = state
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
        state = self._state
        if found := note(event):
            style = STYLES.get(found.level, "")
            self._console.print(_with_clock(event, found), style=style, soft_wrap=True)
        if state.started is None and state.download:
            done, total = state.download.done_bytes, state.download.total_bytes
            self._move(self._run, "download", done // 1_000_000, total // 1_000_000, "MB")
        if state.started is None:
            return
        steps = state.steps or state.started.steps_per_epoch
        self._move(self._epoch, f"epoch {state.epoch}", state.step, steps, _loss(event))
        best = state.best
        shown = score_text(best.valid_top1, best.valid_perplexity, 1) if best else ""
        figures = f"best {shown}" if shown else ""
        # On text, how many steps there will be is not known before.
        moved: float = state.epochs_done if state.is_text else state.global_step
        planned = state.started.epochs * (1 if state.is_text else state.started.steps_per_epoch)
        self._move(self._run, state.phase, moved, planned, figures)

    def _move(self, task: "TaskID", label: str, done: float, total: int, figures: str) -> None:
        self._bars.update(task, description=f"{label:<9}", completed=done, total=max(1, total))
        if figures:
            self._bars.update(task, figures=figures)

    def close(self) -> None:
        """Leave the bars on the screen and show the cursor again."""
        self._bars.stop()


def _loss(event: AnyEvent) -> str:
    if isinstance(event, events.StepFinished) and event.train_loss is not None:
        return f"loss {event.train_loss:.3f}"
    return ""
