"""Which entries of alpha a genotype keeps: what a heatmap marks."""

from darts_engine.run.events import CellLayout
from darts_engine.run.genotype import Genotype


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
