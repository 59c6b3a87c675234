"""Starts new runs, and continues runs that have ended."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from darts_engine.run import commands
from darts_engine.run.architecture import spaces
from darts_engine.run.architecture.networks import OF_GENOTYPES
from darts_engine.run.architecture.operations import refuse_unknown
from darts_engine.run.backwards import end_of_last_line
from darts_engine.run.errors import BusyError, ConfigError, ExitCode, NotFoundError, RunError
from darts_engine.run.folder import RunFolder, create, find
from darts_engine.run.settings import catalog, config, methods, presets, recipes
from darts_engine.run.settings.config import Config, SearchConfig, TrainConfig
from darts_engine.run.settings.earlier import value_of
from darts_engine.run.settings.kept import kept_rules
from darts_engine.run.settings.search_on_text import refuse_processes
from darts_tui.commands.watch import Watching, settled, watch
from darts_tui.console.console import print_err, print_out
from darts_tui.launch import engine_process
from darts_tui.launch.given_paths import refuse_missing
from darts_tui.runs.genotypes import RUN_PREFIX, named
from darts_tui.runs.naming import command
from darts_tui.runs.outcome import observed
from darts_tui.runs.send import send

NEWEST = f"{RUN_PREFIX}latest"


def search_config(file: Path | None, given: dict[str, Any]) -> SearchConfig:
    """The config of a search: the defaults, then the recipe, the file, and the options given.

    Raises:
        ConfigError: a setting is not allowed, or the file is of a training.
    """
    chosen = gathered("search", file, given)
    _print_kept_rules(file, chosen, given)
    assert isinstance(chosen, SearchConfig)
    return chosen


def train_config(
    file: Path | None,
    given: dict[str, Any],
    runs: Path,
    operations: Mapping[str, str] | None = None,
) -> TrainConfig:
    """The config of a training, with its genotype written out in full.

    Args:
        file: of settings.
        given: settings, by dotted key, on top of the file's.
        runs: the folder of runs.
        operations: known names of operations by those that the genotype's text has.

    Raises:
        ConfigError: a setting is not allowed, or the file is of a search.
        RunError: the genotype cannot be found or read.
    """
    asked = _asked("train", file, given)
    found = ""
    name = given.get("network.network", value_of(asked, "network.network"))
    text = given.get("network.genotype", value_of(asked, "network.genotype"))
    if name in (None, *OF_GENOTYPES) and isinstance(text, str | None):
        # The genotype decides whether this is a training on text, and with that the defaults.
        found, genotype, note = named(text or NEWEST, runs, operations)
        refuse_unknown(genotype)
        if note:
            print_err(note)
        given = given | {"network.genotype": genotype.text()}
    elif "network.genotype" in given:
        raise ConfigError(
            f"{str(name)[:60]} has no genotype", remedy="leave out --genotype or --network"
        )
    else:
        given = given | {"network.genotype": ""}
    chosen = gathered("train", file, given)
    _print_kept_rules(file, chosen, given)
    assert isinstance(chosen, TrainConfig)
    is_of_a_run = isinstance(text, str | None) and (text or NEWEST).startswith(RUN_PREFIX)
    is_set = value_of(asked, "data.dataset") or given.get("data.dataset")
    if is_of_a_run and not is_set and chosen.network.genotype:
        _print_other_data(runs, found, chosen.data.dataset)
    weights = _present(chosen.network.weights) if chosen.network.weights else ""
    full = config.override(chosen, {"network.weights": weights})
    assert isinstance(full, TrainConfig)
    return full


def _print_other_data(runs: Path, search: str, dataset: str) -> None:
    """Say that a training reads other data than the search whose genotype it has."""
    with suppress(RunError):
        its = find(runs, search).read_config().data.dataset
        if its != dataset:
            print_err(f"{search} read {its}, and this training reads {dataset}: --dataset sets it")


def gathered(kind: str, file: Path | None, given: dict[str, Any]) -> Config:
    """The config of a kind of run: the defaults, then the recipe, the file, the options given.

    Raises:
        ConfigError: a setting is not allowed, or the file or recipe is of the other kind.
        NotFoundError: there is no such recipe, data set or search space.
        DataError: the path of the data set is missing.
    """
    asked = _asked(kind, file, given)
    # A network brings its settings, which lie under those of the recipe and the file.
    network = {
        key.partition(".")[2]: given[key]
        for key in ("network.network", "network.genotype")
        if key in given
    }
    below = recipes.merged(asked, {"network": network}) if network else asked
    where = str(file) if file else "command line"
    chosen = config.from_plain(below, where=where)
    chosen = config.override(chosen, _set_in(config.read_plain(file) if file else {}) | given)
    # Checked before there is a run folder, which the user would have to remove.
    _refuse_unknown_names(chosen)
    data = chosen.data
    paths = {
        "data.dataset": _absolute(data.dataset),
        "data.data_dir": _folder(data.data_dir),
        "data.labels": _folder(data.labels),
    }
    if isinstance(chosen, SearchConfig):
        paths["search.tables"] = _folder(chosen.search.tables)
        paths["search.surrogate"] = _folder(chosen.search.surrogate)
    full = config.override(chosen, paths)
    refuse_missing(full)
    return full


def _asked(kind: str, file: Path | None, given: dict[str, Any]) -> dict[str, Any]:
    """The tables of the recipe and, on top of them, of the file.

    Raises:
        ConfigError: the file or the recipe is of the other kind.
        NotFoundError: there is no such recipe.
    """
    written = config.read_plain(file) if file else {"kind": kind}
    its_kind = written.get("kind", "search")
    if its_kind != kind and its_kind in config.KINDS:
        raise ConfigError(
            f"this is the config of a {its_kind}, not of a {kind}",
            where=str(file),
            remedy=f"use 'darts-tui {its_kind} --config {file}'",
        )
    recipe = given.get(recipes.KEY, recipes.named_in(written))
    basis = recipes.settings(recipe, kind) if recipe else {}
    return recipes.merged(basis, written)


def _set_in(written: dict[str, Any]) -> dict[str, Any]:
    """What a file of a few settings sets that spaces, or methods in one space, set by dotted key.

    Another method or space from the command line then leaves it. The config of a whole run has all
    settings, and does not say which of them somebody chose.
    """
    if len(written.get("method", ())) == len(config.known_fields("search")["method"]):
        return {}
    brought = {key for spec in spaces.SPECS.values() for key in spec.begins_with}
    found = {key: value_of(written, key) for key in {*presets.IN_SPACES, *brought}}
    return {key: value for key, value in found.items() if value is not None}


def _print_kept_rules(file: Path | None, chosen: Config, given: dict[str, Any]) -> None:
    """Name the rules of an earlier version that a run keeps because of its config file."""
    for rule in kept_rules(config.read_as_written(file), chosen, given) if file else ():
        print_err(f"{file} is of an earlier version and keeps {rule}")


def _refuse_unknown_names(chosen: Config) -> None:
    """Refuse names that are neither built in nor added by a package, or that are both.

    Raises:
        NotFoundError: there is no such data set or search space.
        ExtensionError: a package adds something that is built in.
    """
    data = chosen.data.dataset
    if catalog.is_text(data):
        catalog.entry("text", catalog.TEXTS, data.partition(":")[0])
    else:
        catalog.entry("data set", catalog.DATASETS, data.partition(":")[0])
    if isinstance(chosen, SearchConfig):
        catalog.entry("search space", catalog.SPACES, chosen.space.space)
        methods.refuse_taken_names(chosen.method)


def _folder(path: str) -> str:
    """The absolute path, valid wherever the run is resumed from; empty stays empty."""
    return str(Path(path).expanduser().absolute()) if path else ""


def _present(file: str) -> str:
    """The absolute path of a file of weights.

    Raises:
        NotFoundError: there is none.
    """
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise NotFoundError("there is no such file of weights", where=str(path))
    return str(path)


def _absolute(dataset: str) -> str:
    """A data set's name, with an absolute path if it names a file or folder of the user."""
    source, colon, path = dataset.partition(":")
    if not colon or not path:
        return dataset
    # Only npy: has several files, with commas between.
    files = path.split(",") if source == "npy" else [path]
    return f"{source}:{','.join(str(Path(file).expanduser().absolute()) for file in files)}"


def launch(runs: Path, name: str | None, chosen: Config, watching: Watching, nproc: int = 1) -> int:
    """Make the run's folder, start its engine, and watch it or return.

    Args:
        runs: folder of the runs.
        name: of the run; None makes one up.
        chosen: the run's config.
        watching: how to watch it.
        nproc: processes that share the run.

    Raises:
        ConfigError: the dashboard was requested without a terminal.
        RunError: the folder cannot be made or the engine ended at once.
    """
    refuse_processes(chosen, nproc)
    watching = settled(watching)
    folder = create(runs, name, chosen)
    return _start(folder, chosen, watching, nproc)


def resume(
    folder: RunFolder, watching: Watching, nproc: int = 1, *, is_strict: bool = False
) -> int:
    """Continue a run: send Resume to a paused engine, or start one; a live engine is left alone.

    Args:
        folder: the run.
        watching: how to watch it.
        nproc: processes that share the run.
        is_strict: refuse to go on from a checkpoint of other versions, threads or devices.

    Raises:
        BusyError: its engine lives but can take no command now.
        RunError: it cannot be started.
    """
    watching = settled(watching)
    state, live = observed(folder)
    if state.is_imported:
        raise ConfigError(
            f"{folder.name} was imported from a log: there is nothing that goes on",
            where=str(folder.path),
            remedy="'darts-tui search' starts a new run",
        )
    match live:
        case "paused":
            print_out(send(folder, commands.stamped(commands.Resume)))
        case "finished":
            print_out(f"{folder.name} is finished; there is nothing left to do")
        case "running" | "starting":
            print_out(f"{folder.name} is running; watch it with {command('attach', folder)}")
        case "stopping" | "stalled":
            raise _busy(folder, live)
        case _:
            chosen = folder.read_config()
            _refuse_unknown_names(chosen)
            refuse_processes(chosen, nproc)
            return _start(folder, chosen, watching, nproc, is_strict=is_strict)
    return ExitCode.OK


def _shown(path: Path) -> str:
    """The path from the working folder, which may have been deleted."""
    try:
        return os.path.relpath(path)
    except OSError:
        return str(path)


def _busy(folder: RunFolder, live: str) -> BusyError:
    record = folder.read_engine()
    who = f" (pid {record.pid} on {record.host})" if record else ""
    remedy = "try again when it has ended"
    if live == "stalled":
        remedy = "it holds the run without a sign of life: continue or kill that process first"
    return BusyError(
        f"the engine of {folder.name} is {live}{who}", where=str(folder.path), remedy=remedy
    )


def _start(
    folder: RunFolder, chosen: Config, watching: Watching, nproc: int, *, is_strict: bool = False
) -> int:
    # The new engine writes from here on.
    offset = end_of_last_line(folder.events)
    engine = engine_process.start(folder, chosen, nproc=nproc, is_strict=is_strict)
    if watching.detach:
        print_out(folder.name)
        return ExitCode.OK
    print_err(f"run {folder.name} in {_shown(folder.path)}")
    return watch(folder, watching, engine, offset)
