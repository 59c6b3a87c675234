"""Starting new runs and taking ended ones up again."""

import os
from pathlib import Path
from typing import Any

from darts_engine.run import commands, config
from darts_engine.run.config import Config, SearchConfig, TrainConfig
from darts_engine.run.errors import BusyError, ConfigError, ExitCode
from darts_engine.run.folder import RunFolder, create
from darts_engine.run.log import MAX_LINE_BYTES
from darts_tui import launcher
from darts_tui.genotypes import RUN_PREFIX, resolve
from darts_tui.naming import command
from darts_tui.reading import look
from darts_tui.reporting import say, tell
from darts_tui.sending import send
from darts_tui.watching import Watching, settled, watch

NEWEST = f"{RUN_PREFIX}latest"


def search_config(file: Path | None, given: dict[str, Any]) -> SearchConfig:
    """The config of a search: defaults, then the file, then the options given.

    Raises:
        ConfigError: a setting that cannot be, or the file is of a training.
    """
    chosen = _config("search", file, given)
    assert isinstance(chosen, SearchConfig)
    return chosen


def train_config(file: Path | None, given: dict[str, Any], runs: Path) -> TrainConfig:
    """The config of a training, with its genotype written out in full.

    Raises:
        ConfigError: a setting that cannot be, or the file is of a search.
        RunError: the genotype cannot be found or read.
    """
    chosen = _config("train", file, given)
    assert isinstance(chosen, TrainConfig)
    genotype = resolve(chosen.network.genotype or NEWEST, runs)
    full = config.override(chosen, {"network.genotype": genotype.text()})
    assert isinstance(full, TrainConfig)
    return full


def _config(kind: str, file: Path | None, given: dict[str, Any]) -> Config:
    chosen = config.read(file) if file else config.KINDS[kind]()
    if not isinstance(chosen, config.KINDS[kind]):
        other = "train" if kind == "search" else "search"
        raise ConfigError(
            f"this is the config of a {other}, not of a {kind}",
            where=str(file),
            remedy=f"use 'darts-tui {other} --config {file}'",
        )
    chosen = config.override(chosen, given)
    return config.override(chosen, {"data.dataset": _absolute(chosen.data.dataset)})


def _absolute(dataset: str) -> str:
    """A data set of the user's own with a path that holds wherever the run is resumed from."""
    source, colon, path = dataset.partition(":")
    return f"{source}:{Path(path).expanduser().absolute()}" if colon and path else dataset


def launch(runs: Path, name: str | None, chosen: Config, how: Watching) -> int:
    """Make the run's folder, start its engine, and show it or leave.

    Raises:
        ConfigError: the dashboard is wanted where there is no terminal.
        RunError: the folder cannot be made or the engine ended at once.
    """
    how = settled(how)
    return _start(create(runs, name, chosen), chosen, how)


def resume(folder: RunFolder, how: Watching) -> int:
    """Do what going on means in the run's state.

    Raises:
        BusyError: its engine lives but can take no wish now.
        RunError: it cannot be started.
    """
    how = settled(how)
    _, state = look(folder)
    match state:
        case "paused":
            say(send(folder, commands.wish(commands.Resume)))
        case "finished":
            say(f"{folder.name} is finished; there is nothing left to do")
        case "running" | "starting":
            say(f"{folder.name} is running; watch it with {command('attach', folder)}")
        case "stopping" | "stalled":
            raise _busy(folder, state)
        case _:
            return _start(folder, folder.read_config(), how)
    return ExitCode.OK


def _busy(folder: RunFolder, state: str) -> BusyError:
    record = folder.read_engine()
    who = f" (pid {record.pid} on {record.host})" if record else ""
    remedy = "try again when it has ended"
    if state == "stalled":
        remedy = "it holds the run without a sign of life: continue or kill that process first"
    return BusyError(
        f"the engine of {folder.name} is {state}{who}", where=str(folder.path), remedy=remedy
    )


def _start(folder: RunFolder, chosen: Config, how: Watching) -> int:
    offset = _end(folder)
    engine = launcher.start(folder, chosen)
    if how.detach:
        say(folder.name)
        return ExitCode.OK
    tell(f"run {folder.name} in {os.path.relpath(folder.path)}")
    return watch(folder, how, engine, offset)


def _end(folder: RunFolder) -> int:
    """Where the news begin: behind the last whole line, as the engine moves a torn one aside."""
    try:
        with folder.events.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - MAX_LINE_BYTES))
            return start + file.read(size - start).rfind(b"\n") + 1
    except OSError:
        return 0
