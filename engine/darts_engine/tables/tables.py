"""What published tables say of a derived genotype, where the user has them; see docs/tables.md."""

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
# What the surrogate was fitted to: the accuracy on CIFAR-10's validation images.
PREDICTED = "cifar10-valid"


class Found(NamedTuple):
    """What one table says: its name, and percent by what was measured."""

    table: str
    values: dict[str, float]


class Tables:
    """Looks genotypes up by their text; quick, and remembers what the surrogate was asked.

    Args:
        cells: NAS-Bench-201's table, empty where there is none.
        surrogate: of NAS-Bench-301.
        warn: hears of a surrogate that fails, once; it is not asked again.
    """

    def __init__(
        self,
        cells: Table | None = None,
        surrogate: Surrogate | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cells, self._surrogate, self._warn = cells or {}, surrogate, warn
        self._asked: tuple[str, Found | None] = ("", None)

    def find(self, text: str) -> Found | None:
        """What is known of a genotype's text; None where nothing is."""
        if text.startswith("|"):
            values = self._cells.get(text)
            return Found(NASBENCH201, values) if values else None
        if self._surrogate is None or not text.startswith("Genotype("):
            return None
        if text != self._asked[0]:
            self._asked = (text, self._predicted(self._surrogate, text))
        return self._asked[1]

    def _predicted(self, surrogate: Surrogate, text: str) -> Found | None:
        try:
            value = surrogate.predict(parse(text))
        except RunError as error:
            self._surrogate = None
            self._warn(_line(error))
            return None
        return None if value is None else Found(NASBENCH301, {PREDICTED: round(value, 4)})


def open_tables(config: SearchConfig, watch: Watch) -> Tables:
    """The tables that a search can use; what cannot be read is told once, as a warning.

    Without any, nothing is said unless the user named a place.
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
