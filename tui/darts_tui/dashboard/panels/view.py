"""The input of every panel: the folded run and the user's choices."""

from dataclasses import dataclass

from darts_engine.run.liveness import ENDED
from darts_engine.run.state import RunState


@dataclass(frozen=True)
class View:
    """A run at one moment. Made anew for each redraw; panels keep nothing of it.

    Attributes:
        state: the fold of the log so far.
        name: the run folder's name.
        live: the engine's state, as `liveness.observe` returns it; "unreadable" where a file of
            the run must not be opened.
        heartbeat_s: seconds since the last heartbeat; None while it is fresh.
        now: the time of the redraw in Unix seconds.
        epoch: the epoch to show, None for the newest.
        smoothing: weight of the past in the curves' moving average, 0 to below 1.
        log_loss: whether the loss axis is logarithmic.
        cell: index of the cell to show in panels with room for one; it may exceed their number.
        glyphs: the characters of curves: braille, block or ascii.
        pending: the word for a command that the engine has not acknowledged, as in "pausing".
        engine_tail: the last lines of engine.log.
        loading: whether older events are still being read.
        read: share of the log that was read, from 0 to 1.
        damaged: lines of the log that were no events.
        problem: why the run is unreadable, in at most three lines.
    """

    state: RunState
    name: str
    live: str = "starting"
    heartbeat_s: float | None = None
    now: float = 0.0
    epoch: int | None = None
    smoothing: float = 0.0
    log_loss: bool = False
    cell: int = 0
    glyphs: str = "braille"
    pending: str = ""
    engine_tail: tuple[str, ...] = ()
    loading: bool = False
    read: float = 1.0
    damaged: int = 0
    problem: tuple[str, ...] = ()

    @property
    def at_epoch(self) -> int:
        """The epoch that panels show."""
        return self.state.epoch if self.epoch is None else self.epoch

    @property
    def epochs_done(self) -> float:
        """Epochs that the run has done, with the fraction of the current one."""
        return self.state.epochs_done

    @property
    def is_training(self) -> bool:
        """Whether the run trains a derived network and has no alpha."""
        return self.state.kind == "train"

    @property
    def is_text(self) -> bool:
        """Whether the run reads text, and has perplexities in place of accuracies."""
        return self.state.is_text

    @property
    def is_over(self) -> bool:
        """Whether no engine will acknowledge a command any more."""
        return self.live in ENDED or self.live in ("dead", "unreadable")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first event; stands still while nothing runs."""
        state = self.state
        if state.first_t is None:
            return 0.0
        if self.live in ("running", "stopping"):
            return max(state.elapsed_s, self.now - state.first_t)
        return state.elapsed_s
