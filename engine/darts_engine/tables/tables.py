"""Look up a genotype in the published tables that the user has; see docs/tables.md."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from darts_engine.data.files import published
from darts_engine.data.watch import Watch
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import RunError
from darts_engine.run.settings.sections import SearchConfig
from darts_engine.tables import nasbench201
from darts_engine.tables.nasbench201 import Table
from darts_engine.tables.nasbench301 import Surrogate

NASBENCH201, NASBENCH301 = "nasbench201", "nasbench301"
FOLDER = "tables"
# The surrogate is fitted to the accuracy on CIFAR-10's validation images.
PREDICTED = "cifar10-valid"


class TableEntry(NamedTuple):
    """The entry of one table.

    Attributes:
        table: its name.
        values: accuracies in percent by data set.
    """

    table: str
    values: dict[str, float]


class Tables:
    """Finds the entries of a genotype in the tables of a search.

    Args:
        cells: the table of NAS-Bench-201, if there is one.
        surrogate: of NAS-Bench-301, if there is one. Its last prediction is kept.
        warn: called with a message if the surrogate fails; the surrogate is not used again.
    """

    def __init__(
        self,
        cells: Table | None = None,
        surrogate: Surrogate | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cells, self._surrogate, self._warn = cells or {}, surrogate, warn
        self._latest: tuple[str, TableEntry | None] = ("", None)

    def find(self, text: str) -> TableEntry | None:
        """The entry of a genotype, given as text; None if no table has it."""
        if text.startswith("|"):
            values = self._cells.get(text)
            return TableEntry(NASBENCH201, values) if values else None
        if self._surrogate is None or not text.startswith("Genotype("):
            return None
        if text != self._latest[0]:
            self._latest = (text, self._predicted(self._surrogate, text))
        return self._latest[1]

    def _predicted(self, surrogate: Surrogate, text: str) -> TableEntry | None:
        try:
            value = surrogate.predict(parse(text))
        except RunError as error:
            self._surrogate = None
            self._warn(_line(error))
            return None
        return None if value is None else TableEntry(NASBENCH301, {PREDICTED: round(value, 4)})


def open_tables(config: SearchConfig, watch: Watch) -> Tables:
    """The tables that a search can use.

    A table that cannot be read becomes one warning. A table that is missing becomes a warning only
    if the user named its place.

    Args:
        config: of the search.
        watch: gets the warnings, and the progress of a table that takes long to read.
    """

    def warn(message: str) -> None:
        watch.note(message, "warning")

    cells: Table = {}
    surrogate = None
    if config.space.space == NASBENCH201:
        try:
            cells = _cells(config, watch)
        except RunError as error:
            warn(_line(error))
        except OSError as error:
            warn(f"the folder of tables cannot be read: {error.strerror}")
    if config.search.surrogate:
        try:
            surrogate = Surrogate(Path(config.search.surrogate).expanduser())
        except RunError as error:
            warn(_line(error))
        except OSError as error:
            warn(f"the folder of the surrogate cannot be read: {error.strerror}")
    return Tables(cells, surrogate, warn)


def _cells(config: SearchConfig, watch: Watch) -> Table:
    named = config.search.tables
    folder = Path(named).expanduser() if named else _default(config)
    path = nasbench201.find(folder)
    if path is None:
        if named:
            raise RunError("there is no table of NAS-Bench-201 here", where=str(folder))
        return {}
    return nasbench201.read(path, watch)


def _default(config: SearchConfig) -> Path:
    return published.data_folder(config.data.data_dir) / FOLDER


def _line(error: RunError) -> str:
    return str(error).replace("\n", "; ")
