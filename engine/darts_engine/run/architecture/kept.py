"""Which entries of alpha a genotype keeps, for the marks of a heatmap."""

from collections.abc import Sequence

from darts_engine.run.architecture.genotype import NONE, ONE_CELL, Genotype
from darts_engine.run.architecture.layout import CellLayout


def kept_columns(layout: CellLayout, genotype: Genotype | None) -> list[tuple[int, ...]]:
    """For each row of a layout, the columns that the genotype keeps, in order."""
    if genotype is None:
        return [()] * len(layout.edges)
    cell = layout.name if layout.name in genotype.cells else genotype.cells[0]
    if cell != layout.name and layout.shows == "edges":
        return [()] * len(layout.edges)
    edges = genotype.edges(cell)
    columns = {name: column for column, name in enumerate(layout.operations)}
    rows: list[tuple[int, ...]] = []
    for source, target in layout.edges:
        into = [edge for edge in edges if edge.node == target]
        if layout.shows == "parents":
            found = {edge.input for edge in into}
        elif layout.shows == "nodes":
            found = {columns[edge.operation] for edge in into if edge.operation in columns}
        else:
            names = (edge.operation for edge in into if edge.input == source)
            found = {columns[name] for name in names if name in columns}
        rows.append(tuple(sorted(found)))
    return rows


def row_labels(layout: CellLayout) -> list[str]:
    """Names of a layout's rows: their `labels`, or their edges, as in 0→2."""
    return layout.labels or [f"{source}→{target}" for source, target in layout.edges]


def row_counts(layout: CellLayout, genotype: Genotype | None) -> list[int]:
    """How many columns each row chooses: one, or as many as its node has parents."""
    if layout.shows != "parents":
        return [1] * len(layout.edges)
    return [max(1, len(columns)) for columns in kept_columns(layout, genotype)]


def strongest(row: Sequence[float | None], layout: CellLayout, count: int = 1) -> tuple[int, ...]:
    """The columns of the `count` largest weights of a row, which a derivation would keep.

    `none` is among them only in NAS-Bench-201, where an edge may keep it. Ties go to the earlier
    column; weights that are not finite are left out.
    """
    candidates = [
        (-weight, column)
        for column in choosable(layout)
        if column < len(row) and (weight := row[column]) is not None
    ]
    return tuple(column for _, column in sorted(candidates)[:count])


def choosable(layout: CellLayout) -> list[int]:
    """The columns that a derivation may keep."""
    may_be_none = layout.name in ONE_CELL
    return [o for o, name in enumerate(layout.operations) if may_be_none or name != NONE]
