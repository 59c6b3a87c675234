"""`darts-tui runs`: the runs of a folder, as a table for people or as JSON for programs."""

import time
from typing import Any

from darts_engine.run.errors import ConfigError, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import Config
from darts_engine.run.state import RunState
from darts_tui.console.console import print_err
from darts_tui.console.event_text import score_text
from darts_tui.console.safe_text import clean
from darts_tui.runs.outcome import observed

UNREADABLE = "unreadable"
STYLES = {
    "running": "green",
    "starting": "green",
    "paused": "yellow",
    "stopping": "yellow",
    "stalled": "red",
    "dead": "red",
    "failed": "red",
    UNREADABLE: "red",
}


def describe(folder: RunFolder) -> dict[str, Any]:
    """One run as `runs --json` prints it. Accuracies are in percent, times in Unix seconds.

    A run on text has a `best_perplexity` in place of `best_top1`.

    A run that must not be opened has the state "unreadable", and a `problem` that says why.
    """
    try:
        return _readable(folder)
    except RunError as error:
        nothing = dict.fromkeys(
            ("genotype", "best_top1", "best_perplexity", "started", "updated", "eta_s")
        )
        words = dict.fromkeys(("kind", "method", "dataset"), "")
        counts = dict.fromkeys(("epoch", "epochs", "step"), 0)
        found = {"name": folder.name, "path": str(folder.path.resolve()), "state": UNREADABLE}
        return found | words | counts | nothing | {"problem": error.what}


def _readable(folder: RunFolder) -> dict[str, Any]:
    folder.refuse_unsafe()
    (state, live), config = observed(folder), _config(folder)
    genotype, best = state.final_genotype(), state.best
    return {
        "name": folder.name,
        "path": str(folder.path.resolve()),
        "kind": state.kind or (_kind(config) if config else ""),
        "state": live,
        "epoch": state.epoch,
        "epochs": state.total_epochs or (config.epochs if config else 0),
        "step": state.global_step,
        "genotype": genotype.text() if genotype else None,
        "method": state.started.method if state.started else "",
        "dataset": state.started.dataset if state.started else "",
        "best_top1": best.valid_top1 if best else None,
        "best_perplexity": best.valid_perplexity if best else None,
        "started": state.first_t,
        "updated": state.last_t or None,
        "eta_s": _eta(state),
        "problem": None,
    }


def _eta(state: RunState) -> float | None:
    return None if state.eta_s is None else round(state.eta_s, 1)


def _config(folder: RunFolder) -> Config | None:
    try:
        return folder.read_config()
    except ConfigError:
        return None


def _kind(config: Config) -> str:
    return str(config.__struct_config__.tag)


def print_table(described: list[dict[str, Any]]) -> None:
    """Print the runs, the newest first, aligned to the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("run", no_wrap=True, min_width=8)
    for title in ("kind", "state", "epoch", "best", "updated"):
        table.add_column(title, no_wrap=True, justify="right" if title == "best" else "left")
    for run in described:
        table.add_row(
            Text(clean(run["name"], 64)),
            Text(clean(run["kind"], 12)),
            Text(run["state"], style=STYLES.get(run["state"], "")),
            Text(f"{run['epoch']}/{run['epochs']}"),
            Text(score_text(run["best_top1"], run["best_perplexity"])),
            Text(_when(run["updated"])),
        )
    Console(highlight=False).print(table)
    for run in described:
        if run["state"] == UNREADABLE:
            print_err(f"{run['name']} is not opened: {run['problem']}")


def _when(t: float | None) -> str:
    if t is None:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(t))
    except (OverflowError, ValueError, OSError):
        return "?"
