"""The rows and columns of alpha, as the engine builds them and a heatmap shows them."""

import msgspec

Matrix = list[list[float | None]]


class CellLayout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Alphas of a search space as a heatmap shows them: mostly one cell type.

    `edges[k]` is (source, target) of row k of the cell's alpha; the first states are the cell's
    inputs. `operations[o]` names column o. `shows` says what a row chooses: an edge its operation
    (`edges`), a node its operation (`nodes`), or a node the states it takes (`parents`: column o is
    state o). A row that is no edge leads from its node to itself, and `labels` name such rows.
    """

    name: str
    edges: list[tuple[int, int]]
    operations: list[str]
    shows: str = "edges"
    labels: list[str] = []
