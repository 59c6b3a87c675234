"""The genotype: the operations that a derived cell keeps, and their inputs.

A genotype has the published form: per cell a list of `(operation, input)`, two for each node, or of
`(operation, node, input)` if nodes may have any number of inputs (FairDARTS). States 0 and 1 are
the cell's inputs, node i is state i + 2. `text.py` reads written
genotypes, and `forms/` holds the forms that they are written in.

Spaces with one cell type and one input (state 0; nodes from 1) have published forms of their own:
the NAS-Bench-201 string (Dong and Yang, ICLR 2020, arXiv 2001.00326) and the NAS-Bench-101 matrix
(Ying et al., ICML 2019, arXiv 1902.09635), which NAS-Bench-1Shot1 uses too. A recurrent cell
(DARTS, section 2.1 and appendix A.1) is a list of `(operation, input)`, one for each node, and the
states whose mean is its output.
"""

import re
from typing import Any, NamedTuple

import msgspec

from darts_engine.run.errors import GenotypeError

Part = tuple[str | int, ...]

MAX_STATES = 64
OPERATION_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,39}\Z")
# Two cell types; one cell type with operations on edges; one with operations on nodes; a recurrent
# cell, whose nodes have one input each.
DARTS, NASBENCH201, NASBENCH101 = "darts", "nasbench201", "nasbench101"
RECURRENT = "recurrent"
CELLS = ("normal", "reduce")
ONE_CELL = ("cell",)
# Cell types beside which a network has no other, so that nobody needs their names.
ONLY_CELLS = (*ONE_CELL, RECURRENT)
CELLS_OF = {DARTS: CELLS, NASBENCH201: ONE_CELL, NASBENCH101: ONE_CELL, RECURRENT: (RECURRENT,)}
INPUTS = {DARTS: 2, NASBENCH201: 1, NASBENCH101: 1, RECURRENT: 1}
OUTPUT = "output"
NONE = "none"

NNI_OPERATIONS = {
    "maxpool": "max_pool_3x3",
    "avgpool": "avg_pool_3x3",
    "skipconnect": "skip_connect",
    "sepconv3x3": "sep_conv_3x3",
    "sepconv5x5": "sep_conv_5x5",
    "dilconv3x3": "dil_conv_3x3",
    "dilconv5x5": "dil_conv_5x5",
}


class Edge(NamedTuple):
    """One kept edge: `operation` from state `input` into state `node` (both counted from 0)."""

    operation: str
    node: int
    input: int


class Genotype(msgspec.Struct, frozen=True, omit_defaults=True):
    """A derived architecture: the normal and the reduction cell, or the only cell.

    Attributes:
        normal: the edges of the normal cell, or of the only one.
        normal_concat: states that are its output.
        reduce: the edges of the reduction cell; empty if there is only one cell type.
        reduce_concat: states that are its output.
        form: DARTS, NASBENCH201, NASBENCH101 or RECURRENT. In NASBENCH101, an edge carries the
            operation of the node that it leads to; the output is a node whose operation is
            `OUTPUT`. In RECURRENT, the edges lead to nodes 1, 2, ... in turn, and the output is the
            mean of the states in `normal_concat`.

    Raises:
        GenotypeError: an edge has a state that does not come before its node, or the cell is
            malformed in another way.
    """

    normal: tuple[Part, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Part, ...] = ()
    reduce_concat: tuple[int, ...] = ()
    form: str = DARTS

    def __post_init__(self) -> None:
        if self.form not in INPUTS:
            raise GenotypeError(f"there is no form of genotypes {self.form[:40]!r}")
        for cell in self.cells:
            parts, concat = self.cell(cell)
            _check_cell(cell, parts, concat, self.inputs)
        if self.form == NASBENCH101:
            _check_nodes(self.normal)
        if self.form == NASBENCH201:
            _check_complete(self.normal)
        if self.form in (NASBENCH101, NASBENCH201):
            last = max((int(part[1]) for part in self.normal), default=0)
            if self.normal_concat != (last,):
                raise GenotypeError("the last node is the output", where=f"node {last}")
        if self.form == RECURRENT:
            _check_chain(self.normal, self.normal_concat)

    @property
    def cells(self) -> tuple[str, ...]:
        """The names of the cell types."""
        return CELLS_OF[self.form]

    @property
    def inputs(self) -> int:
        """How many inputs a cell has: states 0 to `inputs` - 1."""
        return INPUTS[self.form]

    def cell(self, name: str) -> tuple[tuple[Part, ...], tuple[int, ...]]:
        """The published parts and the concatenated states of the cell `name`."""
        if name == "reduce":
            return self.reduce, self.reduce_concat
        return self.normal, self.normal_concat

    def edges(self, name: str) -> list[Edge]:
        """The cell's edges in published order, each with its node."""
        parts, _ = self.cell(name)
        return [_edge(part, place) for place, part in enumerate(parts)]

    def live_edges(self, name: str) -> list[Edge]:
        """The edges that compute something: from states that depend on the cell's inputs.

        In a cell of NAS-Bench-101 they must also lead to its output.
        """
        reached = set(range(self.inputs))
        # A cell of NAS-Bench-201 lists every edge, also those with `none`.
        counting = [e for e in self.edges(name) if (self.form, e.operation) != (NASBENCH201, NONE)]
        for edge in sorted(counting, key=lambda edge: edge.node):
            if edge.input in reached:
                reached.add(edge.node)
        live = [edge for edge in counting if edge.input in reached]
        if self.form == NASBENCH101:
            used = set(self.normal_concat)
            for edge in sorted(live, key=lambda edge: -edge.node):
                if edge.node in used:
                    used.add(edge.input)
            live = [edge for edge in live if edge.node in used]
        return live

    def nodes(self, name: str) -> int:
        """Number of intermediate nodes of the cell, isolated ones included."""
        _, concat = self.cell(name)
        states = [edge.node for edge in self.edges(name)] + list(concat)
        return max(states) - self.inputs + 1

    def text(self) -> str:
        """The published form of the space: Python, string or matrix."""
        if self.form == NASBENCH201:
            return _text_201(self.edges("cell"))
        if self.form == NASBENCH101:
            return msgspec.json.encode(self.matrix()).decode()

        def concat(states: tuple[int, ...]) -> str:
            return repr(list(states))

        if self.form == RECURRENT:
            pairs = ", ".join(repr((edge.operation, edge.input)) for edge in self.edges(RECURRENT))
            return f"Genotype(recurrent=[{pairs}], concat={concat(self.normal_concat)})"

        def cell(parts: tuple[Part, ...]) -> str:
            return "[" + ", ".join(repr(tuple(part)) for part in parts) + "]"

        return (
            f"Genotype(normal={cell(self.normal)}, normal_concat={concat(self.normal_concat)}, "
            f"reduce={cell(self.reduce)}, reduce_concat={concat(self.reduce_concat)})"
        )

    def matrix(self) -> dict[str, Any]:
        """NAS-Bench-101's form: an upper triangular adjacency matrix, and each node's operation."""
        edges = self.edges("cell")
        size = max(edge.node for edge in edges) + 1
        matrix = [[0] * size for _ in range(size)]
        operations = ["input"] * size
        for edge in edges:
            matrix[edge.input][edge.node] = 1
            operations[edge.node] = edge.operation.replace("_", "-")
        return {"matrix": matrix, "ops": operations}

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers for a JSON encoder."""
        if self.form == RECURRENT:
            pairs = [[edge.operation, edge.input] for edge in self.edges(RECURRENT)]
            return {"form": RECURRENT, "recurrent": pairs, "concat": list(self.normal_concat)}
        if self.form != DARTS:
            parts = [list(part) for part in self.normal]
            return {"form": self.form, "normal": parts, "normal_concat": list(self.normal_concat)}
        return {
            "normal": [list(part) for part in self.normal],
            "normal_concat": list(self.normal_concat),
            "reduce": [list(part) for part in self.reduce],
            "reduce_concat": list(self.reduce_concat),
        }


def _edge(part: Part, place: int) -> Edge:
    if len(part) == 2:
        return Edge(str(part[0]), 2 + place // 2, int(part[1]))
    return Edge(str(part[0]), int(part[1]), int(part[2]))


def _check_cell(
    cell: str, parts: tuple[Part, ...], concat: tuple[int, ...], inputs: int = 2
) -> None:
    def refuse(what: str, part: object = "") -> GenotypeError:
        return GenotypeError(what, where=f"{cell} cell{f', {part!r}'[:80] if part else ''}")

    for place, part in enumerate(parts):
        numbers = part[1:]
        if (
            len(part) not in (2, 3)
            or not isinstance(part[0], str)
            or not all(type(number) is int for number in numbers)
        ):
            raise refuse("an edge must be (operation, input) or (operation, node, input)", part)
        if len(part) != len(parts[0]):
            raise refuse("a cell may not mix two-part and three-part edges", part)
        if not OPERATION_NAME.match(part[0]):
            raise refuse("an operation name is letters, digits and underscores", part)
        edge = _edge(part, place)
        if not inputs <= edge.node < MAX_STATES or not 0 <= edge.input < edge.node:
            raise refuse("an input must be a state before its node", part)
        if inputs == 1 and len(part) == 2:
            raise refuse("an edge of this form must be (operation, node, input)", part)
    if not concat:
        raise refuse("at least one state must be concatenated")
    if any(type(s) is not int or not 0 <= s < MAX_STATES for s in concat):
        raise refuse("a concatenated state is out of range", concat)
    if parts and len(parts[0]) == 2:
        last = _edge(parts[-1], len(parts) - 1).node
        if max(concat) > last:
            raise refuse("a concatenated state does not exist", concat)


def _check_nodes(parts: tuple[Part, ...]) -> None:
    """All edges into a node must have one operation, and only the last node is the output."""
    found: dict[int, str] = {}
    for operation, node, _ in parts:
        if found.setdefault(int(node), str(operation)) != operation:
            raise GenotypeError("a node has one operation", where=f"node {node}")
    if not found or [n for n, name in found.items() if name == OUTPUT] != [max(found)]:
        raise GenotypeError("the last node, and only that, is the output")


def _check_complete(parts: tuple[Part, ...]) -> None:
    """A cell of NAS-Bench-201 has one operation, maybe `none`, on the edge of any two states."""
    pairs = sorted((int(node), int(source)) for _, node, source in parts)
    last = pairs[-1][0] if pairs else 0
    if pairs != [(node, source) for node in range(1, last + 1) for source in range(node)]:
        raise GenotypeError("a cell of NAS-Bench-201 has one operation for each two states")


def _check_chain(parts: tuple[Part, ...], concat: tuple[int, ...]) -> None:
    """Every node of a recurrent cell has one input, and only nodes that exist are averaged."""
    nodes = [int(node) for _, node, _ in parts]
    if nodes != list(range(1, len(nodes) + 1)) or not nodes:
        raise GenotypeError("every node of a recurrent cell has one (operation, input)")
    if max(concat) > len(nodes) or len(set(concat)) != len(concat):
        raise GenotypeError(
            "the output of a recurrent cell is the mean of states that it has, each once",
            where=f"concat {list(concat)!r}"[:80],
        )


def _text_201(edges: list[Edge]) -> str:
    """As in `|op~0|+|op~0|op~1|`: each node's edges, by input."""
    nodes = range(1, max(edge.node for edge in edges) + 1)
    into = [sorted((e.input, e.operation) for e in edges if e.node == node) for node in nodes]
    return "+".join("|" + "".join(f"{name}~{source}|" for source, name in node) for node in into)


class GenotypeChange(msgspec.Struct, frozen=True, kw_only=True):
    """Edges that entered and left one node of one cell, as "operation(input)"."""

    cell: str
    node: int
    removed: list[str]
    added: list[str]
