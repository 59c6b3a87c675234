"""What is marked in a layout, and how sure a search is of it."""

import pytest

from darts_engine.run.architecture.derivation import changes
from darts_engine.run.architecture.derivation_one_cell import derive_edges, derive_nodes
from darts_engine.run.architecture.kept import kept_columns, row_counts, strongest
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.architecture.text import parse
from darts_engine.run.edges import edge_figures
from darts_engine.run.events import AlphaSampled

EDGES = CellLayout(name="cell", edges=[(0, 1)], operations=["none", "skip_connect", "avg"])
PARENTS = CellLayout(
    name="parents", edges=[(3, 3)], operations=["in", "1", "2"], shows="parents", labels=["output"]
)
TWO = derive_nodes([[1.0], [1.0]], ["conv"], {3: [0.5, 0.1, 0.4]}, [1, 1, 2])


def sample(name: str, weights: Matrix) -> AlphaSampled:
    both = {name: weights}
    return AlphaSampled(epoch=1, step=1, global_step=1, alphas=both, weights=both)


def test_none_may_win_only_where_it_may_be_kept() -> None:
    row = [0.6, 0.3, 0.1]
    assert strongest(row, EDGES) == (0,)
    darts = CellLayout(name="normal", edges=[(0, 2)], operations=EDGES.operations)
    assert strongest(row, darts) == (1,)
    assert kept_columns(EDGES, derive_edges([row], EDGES.operations)) == [(0,)]


def test_a_row_of_parents_chooses_as_many_as_its_node_keeps() -> None:
    assert row_counts(PARENTS, TWO) == [2]
    assert row_counts(PARENTS, None) == [1]
    assert kept_columns(PARENTS, TWO) == [(0, 2)]
    assert strongest([0.5, None, 0.4], PARENTS, 2) == (0, 2)


def test_the_margin_of_parents_is_that_of_the_last_one_kept() -> None:
    figures = edge_figures([PARENTS], sample("parents", [[0.5, 0.1, 0.4]]), TWO)
    assert figures.margin == {"parents": pytest.approx(0.3)}
    figures = edge_figures([EDGES], sample("cell", [[0.6, 0.3, 0.1]]))
    assert figures.margin == {"cell": pytest.approx(0.3)}


def test_changes_of_a_space_with_one_cell_type_are_told_once() -> None:
    before = parse("|skip_connect~0|+|none~0|avg_pool_3x3~1|")
    after = parse("|skip_connect~0|+|none~0|none~1|")
    reported = changes(before, after)
    assert [(c.cell, c.node, c.removed, c.added) for c in reported] == [
        ("cell", 2, ["avg_pool_3x3(1)"], ["none(1)"])
    ]
