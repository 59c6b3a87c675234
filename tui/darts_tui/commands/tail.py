"""`darts-tui tail`: prints the event log, or writes its figures for another program as it grows."""

import signal
import time
from pathlib import Path

from darts_engine.run.errors import ConfigError, ExitCode
from darts_engine.run.events import Rewound
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold
from darts_tui.console.console import print_err
from darts_tui.export.files import open_folder, safe_stem
from darts_tui.printing import printers
from darts_tui.printing.progress import Detached, live_lines, received
from darts_tui.runs.summary import all_lines


def print_log(folder: RunFolder, *, as_json: bool, first: int, follow: bool) -> int:
    """Print the events from sequence number `first` on; with `follow` until the run ends."""
    view = printers.Json() if as_json else printers.Plain()
    reader, state = LogReader(folder.events), RunState()
    with received(signal.SIGINT) as signals:
        lines = live_lines(folder, state, reader, None, signals) if follow else all_lines(folder)
        try:
            for line in lines:
                event = reader.decode(line)
                if event is not None and follow:
                    fold(state, event)
                if first <= 1 or printers.seq_of(line) >= first:
                    view.take(line, event)
        except Detached as left:
            return left.code
    if not as_json:
        _tell_left_out(reader)
    return ExitCode.OK


def write_log(folder: RunFolder, kind: str, into: Path, *, follow: bool) -> int:
    """Write the figures of a run for another program; with `follow` until the run ends.

    Args:
        folder: the run.
        kind: the program, "tensorboard".
        into: gets a folder with the run's name.
        follow: go on with what a running engine writes.

    Raises:
        RunError: another program is named, or the folder cannot be written.
    """
    from darts_tui.export import tensorboard

    if kind != tensorboard.FOLDER:
        raise ConfigError(
            f"there is no {kind!r} to write to", where="--to", remedy="--to tensorboard DIR"
        )
    target = open_folder(into / safe_stem(folder.name), own=False)
    reader, state = LogReader(folder.events), RunState()
    rewinds = [
        event for event in map(reader.decode, all_lines(folder)) if isinstance(event, Rewound)
    ]
    reader = LogReader(folder.events)
    with (
        received(signal.SIGINT) as signals,
        tensorboard.LiveFile(target, rewinds, time.time()) as file,
    ):
        print_err(f"writing {file.path}")
        lines = live_lines(folder, state, reader, None, signals) if follow else all_lines(folder)
        try:
            for line in lines:
                event = reader.decode(line)
                if event is not None:
                    fold(state, event)
                    file.take(event)
        except Detached as left:
            return left.code
    _tell_left_out(reader)
    return ExitCode.OK


def _tell_left_out(reader: LogReader) -> None:
    for count, what in ((reader.damaged, "damaged"), (reader.unknown, "unknown")):
        if count:
            print_err(f"{count} {what} lines of the event log were left out")
