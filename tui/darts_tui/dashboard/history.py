"""Reads what a long log has from before the dashboard was opened.

All of it happens in the reader's thread, so that the app draws and takes keys meanwhile. Of the
alphas sampled within an epoch only the last is decoded: no panel shows the others.
"""

from collections.abc import Callable

from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold
from darts_tui.dashboard.collector import uncollected
from darts_tui.runs.bounded import bound

PIECE_BYTES = 1 << 20
_STEP, _ALPHA = b'{"type":"step_finished"', b'{"type":"alpha_sampled"'


def read_history(
    source: LogReader,
    state: RunState,
    is_over: Callable[[], bool],
    show_progress: Callable[[], None],
) -> None:
    """Fold all that the log has now; the state stays bounded in size.

    Args:
        source: of the log; it is read to the end of the last whole line.
        state: of what was read before.
        is_over: asked after each piece; reading then ends early.
        show_progress: called after each piece.
    """
    before = -1
    # The app draws and takes keys meanwhile.
    with uncollected():
        while source.offset > before and not is_over():
            before = source.offset
            fold_lines(source, source.read_lines(PIECE_BYTES), state)
            bound(state)
            show_progress()


def fold_lines(source: LogReader, lines: list[bytes], state: RunState) -> None:
    """Fold lines of the log, without the alpha samples that others replace."""
    for line in _without_replaced(source, lines):
        event = source.decode(line)
        if event is not None:
            fold(state, event)


def _without_replaced(source: LogReader, lines: list[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    is_replaced = False
    for line in reversed(lines):
        if line.startswith(_ALPHA):
            # One that is damaged is kept, and counted when it is decoded.
            if is_replaced and source.is_event(line):
                continue
            is_replaced = is_replaced or source.is_event(line)
        elif not line.startswith(_STEP):
            # Other events may be about the alphas before them.
            is_replaced = False
        kept.append(line)
    kept.reverse()
    return kept
