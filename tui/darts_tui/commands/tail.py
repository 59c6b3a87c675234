"""`darts-tui tail`: prints the event log, as notes for people or as JSON lines."""

import signal

from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold
from darts_tui.console.console import print_err
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
    for count, what in ((reader.damaged, "damaged"), (reader.unknown, "unknown")):
        if count and not as_json:
            print_err(f"{count} {what} lines of the event log were left out")
    return ExitCode.OK
