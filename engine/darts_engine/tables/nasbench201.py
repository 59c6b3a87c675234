"""Read the accuracies of NAS-Bench-201 (Dong and Yang, 2020; arXiv 2001.00326) from files on disk.

The published files take minutes to read. So the result, six numbers for each of 15625 cells, is
cached beside them in `CACHE`. The cache is used only if its checksum and its source match.
"""

import csv
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from darts_engine.data.files.pickle_machine import PickleError
from darts_engine.data.files.skimmed_pickle import ACCURACIES, skim
from darts_engine.data.watch import Watch
from darts_engine.run.errors import DataError

# Accuracies in percent: architecture -> data set -> accuracy.
Table = dict[str, dict[str, float]]

CACHE = "nasbench201.cache.json"
# Names of tables, in the order in which `find` looks for them.
PLAIN = ("nasbench201.json", "nasbench201.csv")
PUBLISHED = (
    "NAS-Bench-201-v1_*.pth",
    "NATS-tss-v1_*.pickle.pbz2",
    "NATS-tss-v1_*-simple",
    "nb201_all.pickle",
)
# What the papers report: our name -> (data set of the training, images of the accuracy).
REPORTED = {
    "cifar10-valid": ("cifar10-valid", "x-valid"),
    "cifar10": ("cifar10", "ori-test"),
    "cifar100-valid": ("cifar100", "x-valid"),
    "cifar100": ("cifar100", "x-test"),
    "ImageNet16-120-valid": ("ImageNet16-120", "x-valid"),
    "ImageNet16-120": ("ImageNet16-120", "x-test"),
}
# The keys of the trainings of 200 epochs in NAS-Bench-201 and in NATS-Bench.
WHOLE_TRAININGS = ("full", "200")
OPERATION = "(?:none|skip_connect|nor_conv_1x1|nor_conv_3x3|avg_pool_3x3)"
ARCHITECTURE = re.compile(
    r"\|X~0\|\+\|X~0\|X~1\|\+\|X~0\|X~1\|X~2\|".replace("X", OPERATION), re.ASCII
)


class _Cache(msgspec.Struct):
    """The content of `CACHE`: the state of the source, the checksum of the table, the table."""

    source: list[str | int]
    sha256: str
    table: Table


def find(folder: Path) -> Path | None:
    """The first table in a folder, in the order of `PLAIN` and `PUBLISHED`; None without one."""
    for name in PLAIN:
        if (folder / name).is_file():
            return folder / name
    for pattern in PUBLISHED:
        for path in sorted(folder.glob(pattern)):
            if path.is_dir() == pattern.endswith("-simple"):
                return path
    return None


def read(path: Path, watch: Watch) -> Table:
    """The table in a file or folder that `find` returned.

    Args:
        path: the file or folder.
        watch: gets the progress of a published file, which takes minutes.

    Raises:
        DataError: it is damaged, or not such a table; the remedy is to fetch it again.
    """
    try:
        if path.suffix == ".json":
            return _checked(msgspec.json.decode(path.read_bytes(), type=Table))
        if path.suffix == ".csv":
            return _checked(_from_csv(path))
        state = _state_of(path)
        cached = _cached(path.parent / CACHE, state)
        if cached:
            return cached
        watch.note(f"reading {path.name}, which takes minutes, once")
        table = _checked(_published(path, watch))
    except (ValueError, msgspec.MsgspecError) as error:
        raise DataError(
            f"{path.name} is no table of NAS-Bench-201: {str(error)[:120]}",
            where=str(path),
            remedy="fetch it again, or make one as docs/tables.md says; the run goes on without",
        ) from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}", where=str(path)) from None
    _keep(path.parent / CACHE, state, table)
    return table


def _checked(table: Table) -> Table:
    """The same table, checked.

    Raises:
        ValueError: it is empty, or has an unknown architecture or an impossible accuracy.
    """
    for architecture, values in table.items():
        if not ARCHITECTURE.fullmatch(architecture):
            raise ValueError(f"{architecture[:60]!r} is no architecture")
        if not all(0 <= value <= 100 for value in values.values()):
            raise ValueError(f"an accuracy of {architecture} is not between 0 and 100")
    if not any(table.values()):
        raise ValueError("it holds no accuracies")
    return table


def _from_csv(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream, strict=True)
        try:
            first, *names = next(rows, [""])
            if first != "architecture":
                raise ValueError("its first column is not called architecture")
            return {
                row[0]: {
                    name: float(value)
                    for name, value in zip(names, row[1:], strict=True)
                    if value.strip()
                }
                for row in rows
                if row
            }
        except csv.Error as error:
            raise ValueError(str(error)) from None


# What is published ------------------------------------------------------------------------------


def _published(path: Path, watch: Watch) -> Table:
    """The table of a published file.

    Raises:
        PickleError: a ValueError; the file is damaged.
    """
    if path.is_dir():
        return dict(_from_folder(path, watch))
    size = path.stat().st_size
    value = skim(path, lambda done: watch.fetched(path.name, done, size))
    if not isinstance(value, dict):
        raise PickleError("it holds no dictionary")
    if "arch2infos" not in value:
        return {str(name): _naslib(found) for name, found in value.items()}
    infos = value["arch2infos"]
    if not isinstance(infos, dict):
        raise PickleError("it holds no results")
    return dict(_row(info) for info in infos.values())


def _from_folder(folder: Path, watch: Watch) -> Iterator[tuple[str, dict[str, float]]]:
    """The rows of NATS-Bench's folder, which has a file for each architecture."""
    files = sorted(folder.glob("[0-9]*.pickle.pbz2"))
    for count, file in enumerate(files):
        watch.fetched(folder.name, count, len(files))
        yield _row(skim(file))


def _row(info: Any) -> tuple[str, dict[str, float]]:
    """An architecture and its accuracies, means over the seeds as the papers report them."""
    for key in WHOLE_TRAININGS:
        if isinstance(info, dict) and isinstance(info.get(key), dict):
            whole = info[key]
            break
    else:
        raise PickleError("an architecture has no trainings of 200 epochs")
    values: dict[str, float] = {}
    for name, (trained_on, measured_on) in REPORTED.items():
        of_seeds = [
            float(result[ACCURACIES][measured_on])
            for (dataset, _), result in whole["all_results"].items()
            if dataset == trained_on and measured_on in result[ACCURACIES]
        ]
        if of_seeds:
            values[name] = round(sum(of_seeds) / len(of_seeds), 4)
    return str(whole["arch_str"]), values


def _naslib(found: Any) -> dict[str, float]:
    """NASLib's `nb201_all.pickle`: a number, or one per epoch, for each data set."""
    values: dict[str, float] = {}
    for dataset, result in found.items():
        value = result[ACCURACIES]
        values[str(dataset)] = round(float(value[-1] if isinstance(value, list) else value), 4)
    return values


# The cache --------------------------------------------------------------------------------------


def _state_of(path: Path) -> list[str | int]:
    """Name, size and time of change of the source: they differ after it changed."""
    inner = path / "meta.pickle.pbz2"
    stat = (inner if inner.exists() else path).stat()
    return [path.name, stat.st_size, stat.st_mtime_ns]


def _checksum(table: Table) -> str:
    return hashlib.sha256(msgspec.json.encode(table)).hexdigest()


def _cached(path: Path, state: list[str | int]) -> Table | None:
    """The cached table, or None if it is damaged or of another state of the source."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Cache)
        if kept.source == state and kept.sha256 == _checksum(kept.table):
            return _checked(kept.table)
    except (OSError, ValueError, msgspec.MsgspecError):
        pass
    return None


def _keep(path: Path, state: list[str | int], table: Table) -> None:
    """Write the cache atomically; without a writable folder the next read takes minutes again."""
    name = ""
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".nasbench201-", delete=False
        ) as new:
            name = new.name
            new.write(msgspec.json.encode(_Cache(state, _checksum(table), table)))
            new.flush()
            os.fsync(new.fileno())
        Path(name).replace(path)
    except OSError:
        if name:
            Path(name).unlink(missing_ok=True)
