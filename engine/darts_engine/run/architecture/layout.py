"""Names of the rows and columns of alpha."""

import msgspec

Matrix = list[list[float | None]]


class CellLayout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rows and columns of one alpha matrix, mostly that of one cell type.

    `edges[k]` is (source, target) of row k of the cell's alpha; the first states are the cell's
    inputs. `operations[o]` names column o. `shows` gives what a row chooses: the operation of
    an edge (`edges`) or of a node (`nodes`), or the input states of a node (`parents`: column o is
    state o). A row of a node is (node, node), and `labels` name such rows.
    """

    name: str
    edges: list[tuple[int, int]]
    operations: list[str]
    shows: str = "edges"
    labels: list[str] = []
