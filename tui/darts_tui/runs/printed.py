"""Printed alphas in a log: tensors, arrays or lists of numbers, and which of them belong together.

The official code prints two matrices in turn, of the normal and the reduction cell; pt.darts one
for each node; AutoDL one for a cell of NAS-Bench-201. Words before a matrix that name a cell or
edge weights count more than its place.
"""

import math
import re
from typing import Any, NamedTuple

from darts_engine.run.architecture.derivation import node_count, softmax
from darts_engine.run.architecture.genotype import CELLS, RECURRENT

# A matrix of the largest cell that there is, printed with every digit.
MIN_CHARACTERS, MAX_CHARACTERS = 25, 100_000
LABEL_CHARACTERS = 200
# A longer line before a matrix is no title of it.
TITLE_CHARACTERS = 60
_ENDS = re.compile(r"\[\[|\]\]|tensor\(\[(?!\[)|\]")
_NUMBERS = re.compile(r"[-+0-9.eE,\s\[\]]|nan|inf")
_ROW = re.compile(r"\[([^\[\]]*)\]")
# How far a sum of printed weights may be from 1.
ROUNDING = 0.01
# Rows by columns of the matrices that stand alone.
_ALONE = {(6, 5): "cell", (36, 5): RECURRENT}
_COLUMNS = (7, 8)


class Matrix(NamedTuple):
    """A printed matrix; a vector has one row. `label` are the words before it."""

    rows: list[list[float]]
    start: int
    end: int
    label: str
    is_vector: bool = False


class Group(NamedTuple):
    """Matrices of one moment by name, and whether they are mixing weights already."""

    tables: dict[str, Any]
    is_mixed: bool
    start: int


def matrices(text: str) -> list[Matrix]:
    """All printed matrices and vectors of numbers, each character looked at a few times."""
    found: list[Matrix] = []
    opened, is_vector, last = -1, False, 0
    for token in _ENDS.finditer(text):
        sign = token[0]
        if sign == "[[":
            opened, is_vector = token.start(), False
        elif sign.startswith("tensor"):
            opened, is_vector = token.end() - 1, True
        elif opened >= 0 and (sign == "]]" or is_vector):
            end = token.start() + 1 if is_vector else token.end()
            is_sized = MIN_CHARACTERS <= end - opened <= MAX_CHARACTERS
            if is_sized and (rows := _rows(text[opened:end])):
                label = _title(text[max(last, opened - LABEL_CHARACTERS) : opened])
                found.append(Matrix(rows, opened, end, label, is_vector))
                last = end
            opened = -1
    return found


def _title(before: str) -> str:
    """The words right before a matrix, on its own line or the one above."""
    lines = before.lower().splitlines()[-2:]
    return " ".join(
        line for line in lines if len(line) <= TITLE_CHARACTERS and "(" not in line[:-8]
    )


def _rows(written: str) -> list[list[float]]:
    """Rows of equally many numbers; empty if the text is something else."""
    if _NUMBERS.sub("", written):
        return []
    try:
        written_rows = [row.replace(",", " ").split() for row in _ROW.findall(written)]
        rows = [[float(number) for number in row] for row in written_rows if row]
    except ValueError:
        return []
    return rows if rows and len({len(row) for row in rows}) == 1 else []


def groups(text: str) -> list[Group]:
    """The alphas of each moment that the text has printed whole, in order."""
    found: list[Group] = []
    cells: dict[str, list[Matrix]] = {}
    betas: dict[str, Matrix] = {}
    for matrix in matrices(text):
        shape = (len(matrix.rows), len(matrix.rows[0]))
        title = next((cell for cell in CELLS if cell[:5] in matrix.label), "")
        if matrix.is_vector:
            if "beta" in matrix.label and found and found[-1].tables.keys() == set(CELLS):
                betas[title or ("reduce" if betas else "normal")] = matrix
                if set(betas) == set(CELLS):
                    found[-1] = _with_betas(found[-1], betas)
        elif shape in _ALONE:
            tables = {_ALONE[shape]: matrix.rows}
            found.append(Group(tables, _is_mixed([matrix]), matrix.start))
        elif shape[1] in _COLUMNS:
            betas = {}
            _add(cells, title or _next(cells), matrix)
            if set(cells) == set(CELLS) and all(map(_is_whole, cells.values())):
                every = [one for cell in CELLS for one in cells[cell]]
                tables = {cell: [row for m in cells[cell] for row in m.rows] for cell in CELLS}
                if len(tables["normal"]) == len(tables["reduce"]):
                    start = min(one.start for one in every)
                    found.append(Group(tables, _is_mixed(every), start))
                cells = {}
    return found


def _add(cells: dict[str, list[Matrix]], cell: str, matrix: Matrix) -> None:
    """Add a matrix to a cell's, or begin anew where it does not go on with them."""
    held = cells.setdefault(cell, [])
    if held and (_is_whole(held) or len(matrix.rows) != len(held[-1].rows) + 1):
        cells.clear()
        held = cells.setdefault(cell, [])
    held.append(matrix)


def _with_betas(group: Group, betas: dict[str, Matrix]) -> Group:
    """A group with its edge weights, in the same kind of numbers: raw, or mixing weights."""
    tables = dict(group.tables)
    for cell, matrix in betas.items():
        values, rows, at = matrix.rows[0], len(group.tables[cell]), 0
        if len(values) != rows:
            return group
        out: list[float] = []
        for node in range(node_count(rows)):
            into = values[at : at + node + 2]
            at += node + 2
            is_mixed = min(into) >= 0 and abs(sum(into) - 1) < ROUNDING
            if group.is_mixed and not is_mixed:
                into = softmax([into])[0]
            elif is_mixed and not group.is_mixed:
                into = [math.log(max(value, 1e-12)) for value in into]
            out += into
        tables[f"betas_{cell}"] = out
    return group._replace(tables=tables)


def _next(cells: dict[str, list[Matrix]]) -> str:
    """The cell that an unnamed matrix is of: the normal one until that is whole."""
    if "reduce" in cells and not _is_whole(cells["reduce"]):
        return "reduce"
    return "reduce" if _is_whole(cells.get("normal", [])) else "normal"


def _is_whole(held: list[Matrix]) -> bool:
    """Whether matrices are of a whole cell: one of all edges, or one for each of four nodes."""
    counts = [len(matrix.rows) for matrix in held]
    if len(counts) == 1:
        return counts[0] in (9, 14, 20, 27)
    return counts == [2, 3, 4, 5]


def _is_mixed(held: list[Matrix]) -> bool:
    """Whether all rows are weights that sum to 1, as far as printed digits say."""
    rows = [row for matrix in held for row in matrix.rows]
    return all(min(row) >= 0 and abs(sum(row) - 1) < ROUNDING for row in rows)
