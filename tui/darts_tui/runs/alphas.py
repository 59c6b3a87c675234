"""Derives a genotype from alphas that people bring."""

import math
from pathlib import Path
from typing import Any

import msgspec

from darts_engine.run.architecture import derivation, derivation_one_cell
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS, derive_chain
from darts_engine.run.architecture.genotype import CELLS, MAX_STATES, RECURRENT, Genotype
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS, SPECS
from darts_engine.run.errors import GenotypeError
from darts_tui.runs.files import as_text, read_bytes

MAX_ALPHAS_BYTES = 10_000_000


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
    text = as_text(read_bytes(path, MAX_ALPHAS_BYTES), str(path), "alphas")
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
