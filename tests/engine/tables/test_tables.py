"""Tables of published accuracies: read, kept, refused, looked up, told."""

import functools
import importlib
import itertools
import json
import os
import random
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import table_kit
import torch
from engine_kit import Engine, events_in, make_run, of_type, outcome, state_of
from table_kit import CELLS, EXPECTED, PLAIN_CELL, STRONG_CELL

from darts_engine.data.watch import Unwatched
from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS
from darts_engine.run.architecture.text import parse, published
from darts_engine.run.errors import DataError, RunError
from darts_engine.run.settings import config
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.position import Position
from darts_engine.search.architecture_report import ArchitectureReport
from darts_engine.spaces.nasbench201 import NASBench201
from darts_engine.tables import nasbench201 as nb201
from darts_engine.tables.nasbench301 import Surrogate, is_inside
from darts_engine.tables.tables import Tables, open_tables

DARTS_V2 = published()["DARTS_V2"].genotype
WRITERS: dict[str, Callable[[Path], Path]] = {
    "NAS-Bench-201": table_kit.write_nasbench201,
    "NAS-Bench-201 as an archive": lambda folder: table_kit.write_nasbench201(folder, is_zip=True),
    "NATS-Bench": table_kit.write_nats_bench,
    "NATS-Bench, a file each": table_kit.write_simple_nats_bench,
}


class Listener(Unwatched):
    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def note(self, message: str, level: str = "info") -> None:
        self.notes.append((level, message))


def settings(**changes: Any) -> SearchConfig:
    made = config.override(SearchConfig(), {k.replace("__", "."): v for k, v in changes.items()})
    assert isinstance(made, SearchConfig)
    return made


def in_the_space(**changes: Any) -> SearchConfig:
    """Settings of a search in NAS-Bench-201's space."""
    return settings(space__space="nasbench201", **changes)


def read(folder: Path) -> nb201.Table:
    path = nb201.find(folder)
    assert path is not None
    return nb201.read(path, Unwatched())


# Formats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_published_files_give_the_means_of_the_last_epochs(tmp_path: Path, write: Any) -> None:
    write(tmp_path)
    assert read(tmp_path) == EXPECTED


def test_the_file_of_naslib_is_read(tmp_path: Path) -> None:
    table_kit.write_naslib(tmp_path)
    wanted = ("cifar10-valid", "cifar10")
    assert read(tmp_path) == {c: {n: EXPECTED[c][n] for n in wanted} for c in CELLS}


def test_a_table_of_ones_own_as_json_or_csv_goes_first(tmp_path: Path) -> None:
    table_kit.write_nasbench201(tmp_path)
    (tmp_path / "nasbench201.csv").write_text(
        f"architecture,cifar10-valid,cifar10\n{PLAIN_CELL},71.5,\n{STRONG_CELL},90,93.25\n"
    )
    table = {PLAIN_CELL: {"cifar10-valid": 71.5}}
    table[STRONG_CELL] = {"cifar10-valid": 90.0, "cifar10": 93.25}
    assert read(tmp_path) == table
    (tmp_path / "nasbench201.json").write_text(json.dumps({PLAIN_CELL: {"cifar10": 12}}))
    assert read(tmp_path) == {PLAIN_CELL: {"cifar10": 12.0}}


BAD = {
    "nasbench201.json": [
        "",
        "[]",
        '{"|a~0|": {"cifar10": 1.0}}',
        json.dumps({PLAIN_CELL: {"cifar10": 101}}),
        json.dumps({PLAIN_CELL: {"cifar10": "high"}}),
        json.dumps({PLAIN_CELL: {}}),
        "{}",
    ],
    "nasbench201.csv": [
        "",
        "name,cifar10\n",
        f"architecture,cifar10\n{PLAIN_CELL}\n",
        f"architecture,cifar10\n{PLAIN_CELL},nan\n",
        f"architecture,cifar10\n{PLAIN_CELL},\xff\n",
        f'architecture,cifar10\n"{PLAIN_CELL},1\n',
    ],
    "nb201_all.pickle": ["", "no pickle", "N.", "}."],
    "NATS-tss-v1_0-3ffb9.pickle.pbz2": ["BZh9", "BZh91AY&SY"],
    "NAS-Bench-201-v1_1-096897.pth": ["", "PK\x03\x04", "].", "}X\n\x00\x00\x00arch2infosK\x01s."],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts]
)
def test_what_is_no_table_is_told_in_one_warning_and_the_run_goes_on(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=name):
        read(tmp_path)
    listener = Listener()
    tables = open_tables(in_the_space(search__tables=str(tmp_path)), listener)
    (warning,) = [message for level, message in listener.notes if level == "warning"]
    assert name in warning
    assert "\n" not in warning
    assert tables.find(PLAIN_CELL) is None


def test_a_published_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = table_kit.write_nats_bench(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 20):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read(tmp_path)
    assert not (tmp_path / nb201.CACHE).exists()


# The cache --------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The published files that were read in full."""
    seen: list[Path] = []
    whole = nb201._published

    def counted(path: Path, watch: Any) -> nb201.Table:
        seen.append(path)
        return whole(path, watch)

    monkeypatch.setattr(nb201, "_published", counted)
    return seen


def test_a_published_file_is_read_once(tmp_path: Path, reads: list[Path]) -> None:
    path = table_kit.write_nasbench201(tmp_path)
    assert read(tmp_path) == read(tmp_path) == EXPECTED
    assert reads == [path]
    os.utime(path, ns=(1, 1))
    assert read(tmp_path) == EXPECTED
    assert reads == [path, path]


def test_a_cache_that_was_changed_is_not_trusted(tmp_path: Path, reads: list[Path]) -> None:
    table_kit.write_nasbench201(tmp_path)
    read(tmp_path)
    cache = tmp_path / nb201.CACHE
    whole = cache.read_bytes()
    for broken in (whole[:-9], whole.replace(b"80.5", b"99.5"), b"", b"{}"):
        cache.write_bytes(broken)
        assert read(tmp_path) == EXPECTED
        assert cache.read_bytes() == whole
    assert len(reads) == 5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_without_room_for_the_cache_the_table_is_read_all_the_same(
    tmp_path: Path, reads: list[Path]
) -> None:
    table_kit.write_nasbench201(tmp_path)
    (tmp_path / nb201.CACHE).mkdir()
    assert read(tmp_path) == read(tmp_path) == EXPECTED
    assert len(reads) == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


# Nothing there ----------------------------------------------------------------------------------


def test_without_tables_nothing_is_said_and_nothing_found(
    tmp_path: Path,
) -> None:
    listener = Listener()
    tables = open_tables(in_the_space(data__data_dir=str(tmp_path)), listener)
    assert tables.find(PLAIN_CELL) is tables.find(DARTS_V2.text()) is None
    assert listener.notes == []
    assert "nasbench301" not in sys.modules


def test_the_default_place_is_below_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tables").mkdir()
    table_kit.write_nats_bench(tmp_path / "tables")
    monkeypatch.setenv("DARTS_TUI_DATA", str(tmp_path))
    tables = open_tables(in_the_space(), Unwatched())
    found = tables.find(STRONG_CELL)
    assert found is not None
    assert found == ("nasbench201", EXPECTED[STRONG_CELL])
    # A search in another space has no use for it.
    assert open_tables(settings(), Unwatched()).find(STRONG_CELL) is None


def test_a_named_folder_without_a_table_is_told(
    tmp_path: Path,
) -> None:
    listener = Listener()
    open_tables(in_the_space(search__tables=str(tmp_path)), listener)
    ((level, message),) = listener.notes
    assert (level, str(tmp_path) in message) == ("warning", True)


def test_a_folder_that_cannot_be_looked_into_is_told() -> None:
    listener = Listener()
    name = "/" + "x" * 300
    open_tables(in_the_space(search__tables=name, search__surrogate=name), listener)
    assert {level for level, _ in listener.notes} == {"warning"}
    assert len(listener.notes) == 2


# The surrogate ----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of the models of a package that can be imported."""
    path, models = table_kit.write_surrogate(tmp_path)
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.delitem(sys.modules, "nasbench301", raising=False)
    yield models
    sys.modules.pop("nasbench301", None)


def asked() -> list[Any]:
    found: list[Any] = importlib.import_module("nasbench301").ASKED
    return found


def test_the_surrogate_is_asked_once_for_a_genotype(package: Path) -> None:
    tables = open_tables(settings(search__surrogate=str(package)), Unwatched())
    text = DARTS_V2.text()
    skips = sum(edge.operation == "skip_connect" for edge in DARTS_V2.edges("normal"))
    assert tables.find(text) == tables.find(text) == ("nasbench301", {"cifar10-valid": 95 - skips})
    (config,) = asked()
    assert config.reduce == [(edge.operation, edge.input) for edge in DARTS_V2.edges("reduce")]
    assert tables.find(PLAIN_CELL) is None


def test_random_numbers_and_switches_are_as_they_were(package: Path) -> None:
    def states() -> list[Any]:
        return [
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.backends.cudnn.deterministic,
        ]

    before = states()
    tables = open_tables(settings(search__surrogate=str(package)), Unwatched())
    assert tables.find(DARTS_V2.text())
    assert states() == before


def test_genotypes_outside_its_space_are_not_asked_for(package: Path) -> None:
    tables = open_tables(settings(search__surrogate=str(package)), Unwatched())
    text = DARTS_V2.text()
    others = [
        text.replace("sep_conv_3x3", "sep_conv_7x7"),
        text.replace("('sep_conv_3x3', 1)", "('sep_conv_3x3', 0)"),
        text.replace("[2, 3, 4, 5]", "[4, 5]"),
        "Genotype(normal=[], normal_concat=[2], reduce=[], reduce_concat=[2])",
    ]
    assert is_inside(DARTS_V2)
    for other in others:
        assert not is_inside(parse(other))
        assert tables.find(other) is None
    assert asked() == []


def broken(what: str) -> types.ModuleType:
    """A package that fails to load or to predict."""
    module: Any = types.ModuleType("nasbench301")

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("a\nmodel")

    class Model:
        predict = staticmethod(fail if what == "predict" else lambda **_: float(what))

    module.load_ensemble = fail if what == "load" else lambda _: Model()
    return module


def test_a_package_that_does_not_load_is_told_once(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nasbench301", broken("load"))
    with pytest.raises(RunError, match="KeyError"):
        Surrogate(package)
    monkeypatch.setitem(sys.modules, "nasbench301", None)
    listener = Listener()
    tables = open_tables(settings(search__surrogate=str(package)), listener)
    ((level, message),) = listener.notes
    assert (level, "nasbench301 does not load" in message) == ("warning", True)
    assert tables.find(DARTS_V2.text()) is None


def test_a_directory_without_models_is_told_and_imports_nothing(tmp_path: Path) -> None:
    listener = Listener()
    open_tables(settings(search__surrogate=str(tmp_path)), listener)
    ((_, message),) = listener.notes
    assert str(tmp_path) in message
    assert "nasbench301" not in sys.modules


@pytest.mark.parametrize("what", ["predict", "nan", "1000"])
def test_a_package_that_fails_later_is_told_once_and_not_asked_again(
    package: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setitem(sys.modules, "nasbench301", broken(what))
    listener = Listener()
    tables = open_tables(settings(search__surrogate=str(package)), listener)
    other = DARTS_V2.text().replace("dil_conv_3x3", "sep_conv_5x5")
    assert tables.find(DARTS_V2.text()) is tables.find(other) is None
    ((level, message),) = listener.notes
    assert (level, "\n" in message) == ("warning", False)


# What is told -----------------------------------------------------------------------------------


def one_hot(text: str) -> dict[str, torch.Tensor]:
    names = [edge.operation for edge in parse(text).edges("cell")]
    columns = torch.tensor([NASBENCH201_OPERATIONS.index(name) for name in names])
    return {"cell": torch.nn.functional.one_hot(columns, 5).float()}


def test_each_derived_cell_is_told_with_what_the_table_knows() -> None:
    reported: list[events.Event] = []
    history = ArchitectureReport(NASBench201(in_the_space()), 0)
    history.tables = Tables(EXPECTED)
    for text in (PLAIN_CELL, PLAIN_CELL.replace("none~1", "skip_connect~1"), STRONG_CELL):
        mixing = one_hot(text)
        now = Position(epoch=2, step=3, global_step=14)
        reported += history.sample(now, mixing, mixing, always_derive=True)
    found = [event for event in reported if isinstance(event, events.AccuracyTabulated)]
    assert [(f.table, f.values) for f in found] == [("nasbench201", EXPECTED[c]) for c in CELLS]
    assert [(f.epoch, f.step, f.global_step) for f in found] == [(2, 3, 14)] * 2


@pytest.mark.slow
def test_a_search_in_the_space_tells_what_the_table_has(
    tmp_path: Path, start: Callable[..., Engine]
) -> None:
    everything = {}
    for names in itertools.product(NASBENCH201_OPERATIONS, repeat=6):
        ends = zip(names, (1, 2, 2, 3, 3, 3), (0, 0, 1, 0, 1, 2), strict=True)
        text = Genotype(tuple(ends), (3,), form="nasbench201").text()
        everything[text] = {"cifar10": 10.0 * names.count("nor_conv_3x3")}
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "nasbench201.json").write_text(json.dumps(everything))
    asked = {"space__space": "nasbench201", "space__nodes": 3, "search__epochs": 1}
    run = make_run(tmp_path, "r", search__tables=str(tmp_path / "tables"), **asked)
    assert start(run).wait() == 0
    derived = of_type(events_in(run), events.GenotypeDerived)
    found = of_type(events_in(run), events.AccuracyTabulated)
    assert [event.values for event in found] == [everything[one.text] for one in derived]
    assert found


@pytest.mark.slow
def test_a_run_tells_the_accuracy_of_each_genotype_and_computes_the_same(
    tmp_path: Path, start: Callable[..., Engine]
) -> None:
    path, models = table_kit.write_surrogate(tmp_path)
    changes = {"space__nodes": 4, "search__epochs": 2, "images": 100}
    run = make_run(tmp_path, "with", search__surrogate=str(models), **changes)
    plain = make_run(tmp_path, "without", **changes)
    engine = start(run, functools.partial(table_kit.put_on_the_path, str(path)))
    assert (engine.wait(), start(plain).wait()) == (0, 0)
    derived = of_type(events_in(run), events.GenotypeDerived)
    found = of_type(events_in(run), events.AccuracyTabulated)
    assert len(found) == len(derived) >= 3
    for event, its in zip(found, derived, strict=True):
        skips = sum(e.operation == "skip_connect" for e in its.genotype.edges("normal"))
        assert (event.table, event.values) == ("nasbench301", {"cifar10-valid": 95.0 - skips})
        assert event.seq == its.seq + 1
    state = state_of(run)
    assert state.tabulated_at(None) == found[-1]
    assert of_type(events_in(plain), events.AccuracyTabulated) == []
    assert outcome(run) == outcome(plain)


@pytest.mark.slow
def test_a_run_whose_package_is_not_installed_warns_once_and_goes_on(
    tmp_path: Path, start: Callable[..., Engine]
) -> None:
    _, models = table_kit.write_surrogate(tmp_path)
    run = make_run(tmp_path, "r", search__surrogate=str(models), search__epochs=1)
    assert start(run).wait() == 0
    (warning,) = [
        n.message for n in of_type(events_in(run), events.LogWritten) if n.level == "warning"
    ]
    assert "ModuleNotFoundError" in warning
    assert of_type(events_in(run), events.AccuracyTabulated) == []
