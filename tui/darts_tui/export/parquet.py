"""A run's epochs as a Parquet file, a row for each, where pyarrow is installed.

pyarrow imports numpy, which the terminal does not, so it runs in a process of its own:
`python -m darts_tui.export.parquet` reads columns as JSON and writes the file.
"""

import importlib
import importlib.util
import io
import os
import sys
from typing import Any

import msgspec

from darts_engine.run.errors import ConfigError, RunError
from darts_engine.run.events import GapMeasured, HealthMeasured
from darts_engine.run.state import RunState
from darts_tui.console.safe_text import clean
from darts_tui.export.render import ChildError, run_child
from darts_tui.export.tables import EPOCH_COLUMNS
from darts_tui.export.tensorboard import figures

PACKAGE = "pyarrow"
# Types of pyarrow; all other columns are figures.
_TYPES = {"run": "string", "kind": "string", "dataset": "string", "epoch": "int64",
          "global_step": "int64", "is_best": "bool_"}  # fmt: skip


class Column(msgspec.Struct, array_like=True, frozen=True):
    """A column, whose value is None where an epoch lacks it. `type` is a type of pyarrow."""

    name: str
    type: str
    values: list[Any]


def check() -> None:
    """Refuse where the package is missing.

    Raises:
        ConfigError: install it.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise ConfigError(
            "Parquet needs a package that is not here",
            where="--what parquet",
            remedy=f"pip install {PACKAGE}, or --what curves for CSV",
        )


def columns(state: RunState, run: str) -> list[Column]:
    """The finished epochs: what a run is, its figures, and those of its health by cell."""
    beside: dict[int, dict[str, float]] = {}
    measured: list[HealthMeasured | GapMeasured] = [*state.health, *state.gaps]
    for event in measured:
        beside.setdefault(event.epoch, {}).update(figures(event))
    names = list(dict.fromkeys(name for found in beside.values() for name in found))
    started = state.started
    same = {
        "run": clean(run),
        "kind": state.kind,
        "dataset": clean(started.dataset) if started else None,
    }
    made = [Column(name, _TYPES[name], [value] * len(state.epochs)) for name, value in same.items()]
    for name in EPOCH_COLUMNS:
        values = [getattr(epoch, name) for epoch in state.epochs]
        made.append(Column(name, _TYPES.get(name, "float64"), values))
    for name in names:
        values = [beside.get(epoch.epoch, {}).get(name) for epoch in state.epochs]
        made.append(Column(name, "float64", values))
    return made


def content(made: list[Column]) -> bytes:
    """The Parquet file of columns.

    Raises:
        RunError: pyarrow failed.
    """
    # -P: Python must not import modules from the working folder.
    child = [sys.executable, "-P", "-m", "darts_tui.export.parquet"]
    try:
        return run_child(child, msgspec.json.encode(made), dict(os.environ))
    except (OSError, ChildError) as error:
        raise RunError(
            "the Parquet file could not be made",
            where=clean(error, 200),
            remedy="--what curves writes the same as CSV",
        ) from None


def _child() -> int:
    arrow: Any = importlib.import_module(PACKAGE)
    files: Any = importlib.import_module(f"{PACKAGE}.parquet")
    made = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Column])
    arrays = {one.name: arrow.array(one.values, getattr(arrow, one.type)()) for one in made}
    buffer = io.BytesIO()
    files.write_table(arrow.table(arrays), buffer)
    sys.stdout.buffer.write(buffer.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(_child())
