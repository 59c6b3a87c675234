"""Which entries of alpha a genotype keeps, and would keep: what a heatmap marks."""

from collections.abc import Sequence

from darts_engine.run.architecture.genotype import NONE, ONE_CELL, Genotype
from darts_engine.run.architecture.layout import CellLayout


def kept_columns(layout: CellLayout, genotype: Genotype | None) -> list[tuple[int, ...]]:
    """For each row of a layout, the columns that are kept, in their order; often one or none."""
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
    """What a layout's rows are called: their edge, as in 0→2, unless it has names for them."""
    return layout.labels or [f"{source}→{target}" for source, target in layout.edges]


def row_counts(layout: CellLayout, genotype: Genotype | None) -> list[int]:
    """How many columns each row chooses: one, or as many parents as the genotype gives its node."""
    if layout.shows != "parents":
        return [1] * len(layout.edges)
    return [max(1, len(columns)) for columns in kept_columns(layout, genotype)]


def strongest(row: Sequence[float | None], layout: CellLayout, count: int = 1) -> tuple[int, ...]:
    """The columns that a derivation would take from a row, the largest weights, strongest first.

    `none` is among them only in NAS-Bench-201, where an edge may keep it. Ties go to the earlier
    column; what is no finite number is left out.
    """
    may_be_none = layout.name in ONE_CELL
    candidates = [
        (-weight, column)
        for column, (weight, name) in enumerate(zip(row, layout.operations, strict=False))
        if weight is not None and (may_be_none or name != NONE)
    ]
    return tuple(column for _, column in sorted(candidates)[:count])
