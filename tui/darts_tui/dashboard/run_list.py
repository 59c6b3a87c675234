"""The runs in a folder of runs, each as its log says where it is."""

from dataclasses import dataclass

from darts_engine.run.errors import ConfigError, RunError
from darts_engine.run.folder import RunFolder, list_runs
from darts_engine.run.settings.config import to_plain
from darts_tui.runs.outcome import observed

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class RunEntry:
    """One run in the list.

    Attributes:
        folder: the run.
        kind: "search" or "train".
        state: the engine's state, as `liveness.observe` returns it; "unreadable" where a file of
            the run must not be opened.
        epoch: the current epoch, from 1.
        epochs: how many there are to be.
        best: the best top-1 accuracy in percent; None on text.
        elapsed_s: seconds that the run has taken.
        last_t: Unix seconds of the last event.
        problem: why it is not read; else empty.
        perplexity: the best perplexity of a run on text.
    """

    folder: RunFolder
    kind: str
    state: str
    epoch: int
    epochs: int
    best: float | None
    elapsed_s: float
    last_t: float
    problem: str = ""
    perplexity: float | None = None


def list_entries(folder: RunFolder) -> list[RunEntry]:
    """All runs beside this one, the newest first. Reads files: not for the event loop."""
    return [read_entry(run) for run in list_runs(folder.path.parent)]


def read_entry(folder: RunFolder) -> RunEntry:
    """Read one run: the two ends of its log, and between them what is needed for the best."""
    try:
        return _read(folder)
    except RunError as error:
        return RunEntry(folder, "", UNREADABLE, 0, 0, None, 0.0, 0.0, error.what)


def _read(folder: RunFolder) -> RunEntry:
    folder.refuse_unsafe()
    state, live = observed(folder)
    kind, epochs = state.kind, state.total_epochs
    if state.started is None:
        try:
            config = folder.read_config()
        except ConfigError:
            pass
        else:
            kind, epochs = str(to_plain(config)["kind"]), config.epochs
    best = state.result.best_top1 if state.result else None
    perplexity = state.result.best_perplexity if state.result else None
    if best is None and perplexity is None and state.best is not None:
        best, perplexity = state.best.valid_top1, state.best.valid_perplexity
    return RunEntry(
        folder,
        kind,
        live,
        state.epoch,
        epochs,
        best,
        state.elapsed_s,
        state.last_t,
        perplexity=perplexity,
    )
