"""Finds the genotype that a user names: by run, published name, file, or its own text.

No text is evaluated as Python; `darts_engine.run.architecture.text` parses it.
"""

import difflib
import math
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from darts_engine.run.architecture import derivation, derivation_one_cell
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS, derive_chain
from darts_engine.run.architecture.genotype import CELLS, MAX_STATES, RECURRENT, Genotype
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS, SPECS
from darts_engine.run.architecture.text import MAX_TEXT, parse, published
from darts_engine.run.errors import (
    ConfigError,
    GenotypeError,
    NotFoundError,
    RunError,
    UnsafeFileError,
)
from darts_engine.run.folder import LATEST, NAME_PATTERN, RunFolder, find, is_run, list_runs
from darts_engine.run.settings import config
from darts_tui.runs.outcome import outcome

RUN_PREFIX = "run:"
MAX_ALPHAS_BYTES = 10_000_000


class Named(NamedTuple):
    """A genotype with a short name for headings and file names."""

    name: str
    genotype: Genotype


def resolve(text: str, runs: Path) -> Genotype:
    """The genotype that `text` stands for.

    Args:
        text: `run:NAME`, `run:latest` (the newest search that has derived one), a published name,
            the path of a file, or the genotype itself as text or JSON.
        runs: the folder of runs.

    Raises:
        NotFoundError: nothing has this name.
        GenotypeError: what was found is not a genotype.
    """
    return named(text, runs).genotype


def named(text: str, runs: Path) -> Named:
    """As `resolve`, with a name: the run's, the published one, the file's stem, or "genotype"."""
    text = text.strip()
    if text.startswith(RUN_PREFIX):
        return of_run(text.removeprefix(RUN_PREFIX), runs)
    known = published()
    if text in known:
        return Named(text, known[text].genotype)
    if text.startswith(("{", "|")) or "(" in text:
        return Named("genotype", parse(text))
    path = Path(text).expanduser()
    if _is_file(path):
        return Named(path.stem, parse(_read(path, MAX_TEXT)))
    raise _unknown(text, runs, list(known))


def of_run(reference: str, runs: Path) -> Named:
    """The genotype that a run ended with or derived last.

    Raises:
        NotFoundError: there is no such run, or it has no genotype yet.
    """
    if reference != LATEST:
        folder = find(runs, reference)
        genotype = outcome(folder).final_genotype()
        if genotype is None and not _is_search(folder):
            raise NotFoundError(
                f"the network of {folder.name} has no genotype",
                where=str(folder.path),
                remedy="name a search, or a training of a derived network",
            )
        if genotype is None:
            raise NotFoundError(
                f"{folder.name} has no genotype yet",
                where=str(folder.path),
                remedy="a search derives its first one within the first epoch",
            )
        return Named(folder.name, genotype)
    refused: UnsafeFileError | None = None
    for folder in list_runs(runs):
        try:
            if _is_search(folder) and (genotype := outcome(folder).final_genotype()):
                return Named(folder.name, genotype)
        except UnsafeFileError as error:
            # Someone else's run must not end the search for one's own.
            refused = refused or error
    if refused is not None:
        raise refused
    raise NotFoundError(
        "no search has found a genotype yet",
        where=str(runs),
        remedy="run 'darts-tui search' first, or name one: --genotype DARTS_V2",
    )


def _is_search(folder: RunFolder) -> bool:
    try:
        # Unchecked: a genotype is whole even where a package that the search used is gone.
        return bool(config.decode(folder.config_text()).get("kind", "search") == "search")
    except ConfigError:
        return False


def _unknown(text: str, runs: Path, known: list[str]) -> NotFoundError:
    if NAME_PATTERN.match(text) and is_run(runs / text):
        remedy = f"the run of that name is meant by '{RUN_PREFIX}{text}'"
    else:
        near = difflib.get_close_matches(text, known, 1)
        remedy = f"did you mean {near[0]!r}? " if near else ""
        remedy += f"Use {RUN_PREFIX}NAME, a file, genotype text, or one of {', '.join(known)}"
    return NotFoundError(f"there is no genotype {text[:60]!r}", remedy=remedy)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise RunError(f"the file is larger than {limit} bytes", where=str(path))
        return content.decode("utf-8")
    except OSError as error:
        raise NotFoundError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise GenotypeError("the file is not UTF-8 text", where=str(path)) from None


def derive_file(path: Path, space: str = "darts") -> Genotype:
    """Derive a genotype from raw alphas in a JSON file.

    Args:
        path: a file with one of
            `{"normal": rows, "reduce": rows}`: a row for each edge, with its raw alphas over the
            eight DARTS operations; 14 rows for the usual four nodes;
            `{"cell": rows}`, NAS-Bench-201: six edges over five operations;
            `{"operations": rows, "parents": rows}`, NAS-Bench-1Shot1: for each node a row of three
            operations; for each node that chooses its parents, and last for the output, a row of
            the states before it;
            `{"recurrent": rows}`, a recurrent cell: a row of five operations for each edge, node by
            node; 36 rows for the usual eight nodes.
        space: of normal and reduction cells: `darts`, or `nasnet-like`, which has other operations
            and another output.

    Raises:
        NotFoundError: the file cannot be read.
        GenotypeError: the content has another shape; the message names the cell, row and column.
    """
    text = _read(path, MAX_ALPHAS_BYTES)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise GenotypeError(
            f"the alphas are not valid JSON: {error}", where=str(path), remedy=_SHAPE
        ) from None
    if isinstance(value, dict) and "cell" in value:
        return _derive_201(value["cell"], str(path))
    if isinstance(value, dict) and "operations" in value:
        return _derive_one_shot(value, str(path))
    if isinstance(value, dict) and RECURRENT in value:
        return _derive_recurrent(value[RECURRENT], str(path))
    if not isinstance(value, dict) or any(cell not in value for cell in CELLS):
        raise GenotypeError(
            "the alphas are no object with normal and reduce, cell, operations and parents, or "
            "recurrent",
            where=str(path),
            remedy=_SHAPE,
        )
    # A search without `none` has a column less in every row.
    lists = [value[cell] for cell in CELLS if isinstance(value[cell], list)]
    widths = {len(row) for rows in lists for row in rows if isinstance(row, list)}
    columns = _COLUMNS - 1 if widths == {_COLUMNS - 1} else _COLUMNS
    raw = {cell: _rows(value[cell], columns, f"{path}, {cell} cell") for cell in CELLS}
    if len(raw["normal"]) != len(raw["reduce"]):
        raise GenotypeError("the cells have different numbers of edges", where=str(path))
    weights = {cell: derivation.softmax(rows) for cell, rows in raw.items()}
    if space not in LOOSE_ENDS:
        raise GenotypeError(
            f"--space {space} is not told by alphas of a normal and a reduction cell",
            remedy=f"use {' or '.join(LOOSE_ENDS)}; other spaces are known by their alphas",
        )
    candidates = SPECS[space].candidates
    if columns < _COLUMNS:
        candidates = tuple(name for name in candidates if name != derivation.NONE)
    genotype = derivation.derive(weights, candidates)
    return derivation.with_loose_ends(genotype) if LOOSE_ENDS[space] else genotype


def _derive_201(value: Any, where: str) -> Genotype:
    edges = SPECS["nasbench201"].edges
    shape = f'expected {{"cell": {edges} rows of {len(NASBENCH201_OPERATIONS)} numbers}}'
    rows = _table(value, [len(NASBENCH201_OPERATIONS)] * edges, f"{where}, cell", shape)
    return derivation_one_cell.derive_edges(derivation.softmax(rows), NASBENCH201_OPERATIONS)


def _derive_recurrent(value: Any, where: str) -> Genotype:
    """A complete chain of any number of nodes, perhaps of a search without `none`."""
    names: tuple[str, ...] = RECURRENT_OPERATIONS
    shape = f"expected 36 rows of {len(names)} numbers ({', '.join(names)}) for eight nodes"
    count = len(value) if isinstance(value, list) else 0
    if count not in {nodes * (nodes + 1) // 2 for nodes in range(1, MAX_STATES)}:
        raise GenotypeError(
            f"a recurrent cell has 1, 3, 6, ... n (n + 1) / 2 edges, not {count}",
            where=f"{where}, recurrent",
            remedy=shape,
        )
    rows = [row for row in value if isinstance(row, list)]
    if rows and all(len(row) == len(names) - 1 for row in rows):
        names = tuple(name for name in names if name != derivation.NONE)
    table = _table(value, [len(names)] * count, f"{where}, recurrent", shape)
    return derive_chain(derivation.softmax(table), names)


def _derive_one_shot(value: dict[str, Any], where: str) -> Genotype:
    """The numbers of nodes, and of nodes that choose their parents, identify the space."""
    operations, parents = value["operations"], value.get("parents")
    sizes = [len(rows) if isinstance(rows, list) else 0 for rows in (operations, parents)]
    spaces = {name: spec for name, spec in SPECS.items() if spec.parents}
    found = [spec for spec in spaces.values() if [spec.nodes, len(spec.choices)] == sizes]
    if not found:
        known = "; ".join(
            f"{name}: {spec.nodes} rows of {spec.per_edge} operations, and parents of "
            f"{', '.join(map(str, spec.choices))} numbers"
            for name, spec in spaces.items()
        )
        raise GenotypeError(
            "the alphas fit none of the spaces of NAS-Bench-1Shot1", where=where, remedy=known
        )
    spec = found[0]
    shape = f"expected parents of {', '.join(map(str, spec.choices))} numbers"
    lengths = [spec.per_edge] * spec.nodes
    names = f"the columns are {', '.join(spec.candidates)}"
    rows = _table(operations, lengths, f"{where}, operations", names)
    chosen = _table(parents, list(spec.choices), f"{where}, parents", shape)
    weights = [derivation.softmax([row])[0] for row in chosen]
    return derivation_one_cell.derive_nodes(
        derivation.softmax(rows),
        spec.candidates,
        dict(zip(spec.choices, weights, strict=True)),
        spec.parents,
    )


def _table(value: Any, lengths: list[int], where: str, shape: str) -> list[list[float]]:
    """Rows of these lengths; a log pads shorter ones with null."""
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise GenotypeError("the alphas are not a list of rows", where=where, remedy=shape)
    if len(value) != len(lengths):
        raise GenotypeError(
            f"there are {len(value)} rows, not {len(lengths)}", where=where, remedy=shape
        )
    rows = []
    for place, (row, length) in enumerate(zip(value, lengths, strict=True), start=1):
        numbers = row[:length] if all(v is None for v in row[length:]) else row
        rows.append(_row(numbers, length, f"{where}, row {place}", shape))
    return rows


def _row(row: list[Any], length: int, where: str, remedy: str) -> list[float]:
    if len(row) != length:
        raise GenotypeError(
            f"a row has {len(row)} numbers, not {length}", where=where, remedy=remedy
        )
    return [_number(value, f"{where}, column {column}") for column, value in enumerate(row, 1)]


# Spaces of two cells with eight operations, and whether only loose ends form the output.
LOOSE_ENDS = {"darts": False, "nasnet-like": True}
_COLUMNS = len(derivation.DARTS_OPERATIONS)
_SHAPE = f'expected {{"normal": 14 rows of {_COLUMNS} numbers, "reduce": the same}}'


def _rows(value: Any, columns: int, where: str) -> list[list[float]]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise GenotypeError(
            "the alphas of a cell are not a list of rows", where=where, remedy=_SHAPE
        )
    derivation.node_count(len(value))
    remedy = f"the columns are {', '.join(derivation.DARTS_OPERATIONS)}"
    return [
        _row(row, columns, f"{where}, row {place}", remedy)
        for place, row in enumerate(value, start=1)
    ]


def _number(value: Any, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise GenotypeError(
        f"an alpha is not a finite number: {str(value)[:40]}", where=where, remedy=_SHAPE
    )
