"""Derives a genotype from alphas that people bring; `alpha_files.py` reads them."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from darts_engine.run.architecture import derivation, derivation_one_cell
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS, derive_chain
from darts_engine.run.architecture.genotype import CELLS, MAX_STATES, RECURRENT, Edge, Genotype
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS, SPECS
from darts_engine.run.errors import GenotypeError
from darts_tui.runs.alpha_files import Brought, Tables, flat, read_alphas


class Derived(NamedTuple):
    """A genotype of alphas, and what a reader should know of how it came about."""

    genotype: Genotype
    notes: tuple[str, ...] = ()


def derive_file(path: Path, space: str = "darts") -> Derived:
    """Derive a genotype from the alphas in a file.

    Args:
        path: JSON, arrays of numpy (npz), or any text with printed matrices, as a log has; there,
            the last ones count. `KEYS` has the names of the matrices. They are
            `normal` and `reduce`: a row for each edge, with its raw alphas over the eight DARTS
            operations or the seven without `none`; 14 rows for the usual four nodes; or a list of
            rows for each node; perhaps with edge weights, `betas_normal` and `betas_reduce`;
            `cell`, NAS-Bench-201: six edges over five operations;
            `operations` and `parents`, NAS-Bench-1Shot1: for each node a row of three operations;
            for each node that chooses its parents, and last for the output, a row of the states
            before it;
            `recurrent`, a recurrent cell: a row of five operations for each edge, node by node; 36
            rows for the usual eight nodes.
        space: of normal and reduction cells: `darts`, or `nasnet-like`, which has other operations
            and another output.

    Raises:
        NotFoundError: the file cannot be read.
        GenotypeError: the content has another shape; the message names the cell, row and column.
    """
    brought = read_alphas(path)
    first = derive_tables(brought, str(path), space)
    # Where two weights are equal as they are written, their order decides; that must be said.
    other = derive_tables(brought, str(path), space, leaning=-1)
    notes = [note for note in (brought.note,) if note]
    if _sets(first) != _sets(other):
        notes.append("some weights are equal as they are written; the earlier one was taken")
    return Derived(first, tuple(notes))


def _sets(genotype: Genotype) -> list[list[Edge]]:
    return [sorted(genotype.edges(cell)) for cell in genotype.cells]


def derive_tables(brought: Brought, where: str, space: str = "darts", leaning: int = 1) -> Genotype:
    """The genotype of matrices by name.

    Args:
        brought: the matrices.
        where: they are from, for errors.
        space: as in `derive_file`.
        leaning: 1 takes the earlier of two equal weights, -1 the later.

    Raises:
        GenotypeError: as `derive_file`.
    """
    tables = brought.tables
    mixed = _Mixed(is_mixed=brought.is_mixed, leaning=leaning)
    if "cell" in tables:
        return _derive_201(tables["cell"], where, mixed)
    if "operations" in tables:
        return _derive_one_shot(tables, where, mixed)
    if RECURRENT in tables:
        return _derive_recurrent(tables[RECURRENT], where, mixed)
    if any(cell not in tables for cell in CELLS):
        raise GenotypeError(
            "the alphas are no object with normal and reduce, cell, operations and parents, or "
            "recurrent",
            where=where,
            remedy=_SHAPE,
        )
    # A search without `none` has a column less in every row.
    lists = {cell: flat(tables[cell]) for cell in CELLS}
    widths = {len(row) for rows in lists.values() for row in _list(rows) if isinstance(row, list)}
    columns = _COLUMNS - 1 if widths == {_COLUMNS - 1} else _COLUMNS
    raw = {cell: _rows(lists[cell], columns, f"{where}, {cell} cell") for cell in CELLS}
    if len(raw["normal"]) != len(raw["reduce"]):
        raise GenotypeError("the cells have different numbers of edges", where=where)
    weights = {cell: mixed.weights(rows) for cell, rows in raw.items()}
    for cell in CELLS:
        if betas := tables.get(f"betas_{cell}"):
            shares = _shares(betas, len(raw[cell]), f"{where}, betas_{cell}", mixed)
            weights[cell] = [
                [weight * share for weight in row]
                for row, share in zip(weights[cell], shares, strict=True)
            ]
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


class _Mixed(NamedTuple):
    """How matrices become mixing weights: by softmax, unless they already are."""

    is_mixed: bool
    leaning: int

    def weights(self, rows: list[list[float]]) -> list[list[float]]:
        mixed = rows if self.is_mixed else derivation.softmax(rows)
        if self.leaning > 0:
            return [list(row) for row in mixed]
        # Far below what any file writes, and more for later entries.
        width = max(map(len, mixed))
        return [
            [weight * (1 + 1e-12 * (edge * width + column)) for column, weight in enumerate(row)]
            for edge, row in enumerate(mixed, 1)
        ]


def _shares(betas: Any, edges: int, where: str, mixed: _Mixed) -> list[float]:
    """PC-DARTS's factors of whole edges: a softmax into each node (its official code)."""
    values = [value for part in betas for value in (part if isinstance(part, list) else [part])]
    if len(values) != edges:
        raise GenotypeError(f"there are {len(values)} edge weights, not {edges}", where=where)
    numbers = [_number(value, f"{where}, entry {at}") for at, value in enumerate(values, 1)]
    out: list[float] = []
    for node in range(derivation.node_count(edges)):
        into = numbers[len(out) : len(out) + node + 2]
        out += into if mixed.is_mixed else derivation.softmax([into])[0]
    return out


def _derive_201(value: Any, where: str, mixed: _Mixed) -> Genotype:
    edges = SPECS["nasbench201"].edges
    shape = f'expected {{"cell": {edges} rows of {len(NASBENCH201_OPERATIONS)} numbers}}'
    rows = _table(value, [len(NASBENCH201_OPERATIONS)] * edges, f"{where}, cell", shape)
    return derivation_one_cell.derive_edges(mixed.weights(rows), NASBENCH201_OPERATIONS)


def _derive_recurrent(value: Any, where: str, mixed: _Mixed) -> Genotype:
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
    return derive_chain(mixed.weights(table), names)


def _derive_one_shot(value: Tables, where: str, mixed: _Mixed) -> Genotype:
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
    weights = [mixed.weights([row])[0] for row in chosen]
    return derivation_one_cell.derive_nodes(
        mixed.weights(rows),
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


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
