"""A run's figures as TensorBoard's scalars.

Every figure is at the number of steps since the run's beginning, so that all share one axis, and at
each step once: work that a rewind has undone is left out, or taken back where it was written
already.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from darts_engine.run import events
from darts_engine.run.errors import RunError, SpaceError
from darts_engine.run.events import AnyEvent, Rewound
from darts_tui.console.safe_text import clean
from darts_tui.export import event_file

FOLDER = "tensorboard"
_MARK = "events.out.tfevents."
_EPOCH = tuple(
    name
    for name in events.EpochFinished.__struct_fields__
    if name not in ("seq", "t", "v", "epoch", "global_step", "is_best")
)
_STEP = ("train_loss", "train_top1", "alpha_loss")
_TEST = ("test_loss", "test_top1", "test_top5")
_GAP = tuple(
    f"{of}_{figure}" for of in ("supernet", "derived", "renewed") for figure in ("loss", "top1")
)
_SPEED = ("images_per_s", "tokens_per_s", "step_ms", "alpha_ms", "weight_ms", "data_ms")
_SYSTEM = ("cpu_percent", "rss_bytes")
_HEALTH = (
    "alpha_grad_norm",
    "weight_grad_norm",
    "sharpness_gap",
    "eigenvalue",
    "hidden_norm",
)
_OF_CELLS = ("entropy", "skip_count", "kept_edges")


def file_name(began: float) -> str:
    """The name of a run's event file. It is the same at every export, which so replaces it."""
    return f"{_MARK}{max(0, int(began)):010d}.darts-tui"


def figures(event: AnyEvent) -> dict[str, float]:
    """The figures of an event by their tag, without those that are missing or not finite."""
    found: dict[str, float | None] = {}
    match event:
        case events.StepFinished():
            found = _named("step", event, _STEP)
        case events.EpochStarted():
            found = {f"schedule/{clean(name)}": v for name, v in event.schedules.items()}
        case events.EpochFinished():
            found = _named("epoch", event, _EPOCH)
        case events.HealthMeasured():
            found = _named("health", event, _HEALTH)
            for name in _OF_CELLS:
                of_cells = getattr(event, name).items()
                found |= {f"{name}/{clean(cell)}": value for cell, value in of_cells}
        case events.HvpChecked():
            found = _named("hvp", event, ("relative_distance", "gradient_distance"))
        case events.MeanShifted():
            found = {f"mean_shift/{clean(cell)}": value for cell, value in event.shift.items()}
        case events.GapMeasured():
            found = _named("gap", event, _GAP)
        case events.TestMeasured():
            found = _named("test", event, _TEST)
        case events.AccuracyTabulated():
            table = f"tabulated/{clean(event.table)}"
            found = {f"{table}/{clean(name)}": value for name, value in event.values.items()}
        case events.SystemMeasured():
            found = _named("speed", event, _SPEED) | _named("system", event, _SYSTEM)
    return {tag: float(value) for tag, value in found.items() if value is not None}


def _named(group: str, event: AnyEvent, names: Iterable[str]) -> dict[str, float | None]:
    return {f"{group}/{name}": getattr(event, name) for name in names}


class Scalars:
    """Makes records of events, in the order of the log.

    Args:
        rewinds: of the log, as far as they are known; what they have undone is left out. Another
            rewind takes back what was written.
    """

    def __init__(self, rewinds: Iterable[Rewound] = ()) -> None:
        self._undone = [(r.to_seq, r.seq) for r in rewinds]
        self._step = 0
        self._last: dict[str, int] = {}
        self._run = ""

    def records(self, event: AnyEvent) -> bytes:
        """The records of an event; empty if it has no figures."""
        if any(first < event.seq < last for first, last in self._undone):
            return b""
        match event:
            case events.RunStarted():
                return self._started(event)
            case Rewound():
                self._step = event.to_step
                is_known = any(event.seq == last for _, last in self._undone)
                return b"" if is_known else self._back(event.t, event.to_step)
        # A schedule is that of the steps that follow.
        step = self._step + 1 if isinstance(event, events.EpochStarted) else self._step
        if (counted := getattr(event, "global_step", None)) is not None:
            self._step = step = counted
        # A paused engine measures itself at the same step again.
        new = {
            tag: value for tag, value in figures(event).items() if step > self._last.get(tag, -1)
        }
        if not new:
            return b""
        self._last |= dict.fromkeys(new, step)
        return event_file.scalars(event.t, step, new)

    def _started(self, event: events.RunStarted) -> bytes:
        """Forget what was written of another run that had this name."""
        is_other = self._run not in ("", event.run)
        self._run = event.run or self._run
        if not is_other:
            return b""
        self._step, self._undone = 0, []
        return self._back(event.t, -1)

    def _back(self, time: float, step: int) -> bytes:
        """Take back all that was written after a step."""
        self._last = {tag: min(last, step) for tag, last in self._last.items()}
        return event_file.restart(time, step + 1)


def file_of(
    history: Iterable[AnyEvent], rewinds: Iterable[Rewound], began: float
) -> Iterator[bytes]:
    """The event file of a log, in chunks.

    Args:
        history: events of the log.
        rewinds: all that are among them.
        began: time of the run's first event, in Unix seconds.
    """
    scalars = Scalars(rewinds)
    yield event_file.beginning(began)
    for event in history:
        yield scalars.records(event)


class LiveFile:
    """An event file that grows with its run, in place of those written before.

    A TensorBoard that had read an earlier file forgets its values.

    Args:
        folder: of this run's files alone; it must exist.
        rewinds: of the log, as far as they are known.
        now: the time, in Unix seconds.

    Raises:
        RunError: the folder cannot be written.
    """

    def __init__(self, folder: Path, rewinds: Iterable[Rewound], now: float) -> None:
        self._scalars = Scalars(rewinds)
        name = f"{_MARK}{int(now):010d}.{os.getpid()}.darts-tui"
        self.path = folder / name
        with _told(self.path):
            earlier = list(folder.glob(f"{_MARK}*.darts-tui"))
            self._file = self.path.open("wb", buffering=0)
            self._file.write(event_file.beginning(now) + event_file.restart(now, 0))
            for path in earlier:
                if path != self.path:
                    path.unlink()

    def take(self, event: AnyEvent) -> None:
        """Write an event's figures."""
        with _told(self.path):
            self._file.write(self._scalars.records(event))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = SpaceError if error.errno in (errno.ENOSPC, errno.EDQUOT) else RunError
        raise kind(
            f"the event file cannot be written: {error.strerror}",
            where=str(path),
            remedy="give another folder: --to tensorboard DIR",
        ) from None
