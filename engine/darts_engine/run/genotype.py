"""The genotype: which operations a derived cell keeps, and where their inputs come from.

A genotype is kept in the published form: per cell a list of `(operation, input)`, two for each
node, or of `(operation, node, input)` where nodes may have any number of inputs (FairDARTS). States
0 and 1 are the cell's inputs, node i is state i + 2. Nothing here evaluates text: Python-looking
genotypes are parsed to a syntax tree, of which only literals, `range(...)` and the `Genotype(...)`
call itself are understood.

Spaces whose cells are all of one type and have one input (state 0; nodes from 1) have published
forms of their own: the NAS-Bench-201 string (Dong and Yang, ICLR 2020, arXiv 2001.00326) and the
NAS-Bench-101 matrix (Ying et al., ICML 2019, arXiv 1902.09635), which NAS-Bench-1Shot1 uses too.
"""

import ast
import re
import warnings
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from darts_engine.run.errors import GenotypeError

Part = tuple[str | int, ...]

MAX_TEXT = 100_000
MAX_STATES = 64
OPERATION_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,39}\Z")
# Two cell types; one cell type with operations on edges; one with operations on nodes.
DARTS, NASBENCH201, NASBENCH101 = "darts", "nasbench201", "nasbench101"
CELLS = ("normal", "reduce")
ONE_CELL = ("cell",)
INPUTS = {DARTS: 2, NASBENCH201: 1, NASBENCH101: 1}
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
    """A derived architecture: the normal and the reduction cell, or the one cell there is.

    Attributes:
        normal: the edges of the normal cell, or of the only one.
        normal_concat: states that are its output.
        reduce: the edges of the reduction cell; none where there is only one cell type.
        reduce_concat: states that are its output.
        form: DARTS, NASBENCH201 or NASBENCH101. In the last, an edge carries the operation of the
            node that it leads to; the output is a node whose operation is `OUTPUT`.

    Raises:
        GenotypeError: when an edge names a state that does not exist before its node.
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

    @property
    def cells(self) -> tuple[str, ...]:
        """The names of the cell types."""
        return CELLS if self.form == DARTS else ONE_CELL

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
        """The edges that compute something: those from a state that the cell's inputs reach.

        In a cell of NAS-Bench-101 they must also lead to its output.
        """
        reached = set(range(self.inputs))
        # A cell of NAS-Bench-201 names every edge, also those that compute nothing.
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
        """How many intermediate nodes the cell has, isolated ones included."""
        _, concat = self.cell(name)
        states = [edge.node for edge in self.edges(name)] + list(concat)
        return max(states) - self.inputs + 1

    def text(self) -> str:
        """The published form, as papers and their code print it: Python, string or matrix."""
        if self.form == NASBENCH201:
            return _text_201(self.edges("cell"))
        if self.form == NASBENCH101:
            return msgspec.json.encode(self.matrix()).decode()

        def concat(states: tuple[int, ...]) -> str:
            return repr(list(states))

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
        """Plain lists and numbers, ready for any JSON writer."""
        if self.form != DARTS:
            parts = [list(part) for part in self.normal]
            return {"form": self.form, "normal": parts, "normal_concat": list(self.normal_concat)}
        return {
            "normal": [list(part) for part in self.normal],
            "normal_concat": list(self.normal_concat),
            "reduce": [list(part) for part in self.reduce],
            "reduce_concat": list(self.reduce_concat),
        }

    def to_nni(self) -> dict[str, Any]:
        """NNI's legacy form: `normal_n2_p0: "sepconv3x3"`, `normal_n2_switch: [...]`.

        Raises:
            GenotypeError: an operation NNI has no name for, or two operations on one edge.
        """
        if self.form != DARTS:
            raise GenotypeError(f"NNI has no form for a cell of {self.form}")
        names = {ours: theirs for theirs, ours in NNI_OPERATIONS.items()}
        out: dict[str, Any] = {}
        for cell in CELLS:
            chosen: dict[int, dict[int, str]] = {}
            for edge in self.edges(cell):
                if edge.operation not in names:
                    raise GenotypeError(f"NNI has no name for the operation {edge.operation}")
                inputs = chosen.setdefault(edge.node, {})
                if edge.input in inputs:
                    raise GenotypeError(
                        "NNI allows one operation per edge",
                        where=f"{cell} cell, node {edge.node}, input {edge.input}",
                    )
                inputs[edge.input] = names[edge.operation]
            for node in range(2, self.nodes(cell) + 2):
                inputs = chosen.get(node, {})
                for source in range(node):
                    out[f"{cell}_n{node}_p{source}"] = inputs.get(source, [])
                out[f"{cell}_n{node}_switch"] = [f"{cell}_n{node}_p{source}" for source in inputs]
        return out


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
    """A node has one operation, whatever leads to it, and the last one is the output."""
    found: dict[int, str] = {}
    for operation, node, _ in parts:
        if found.setdefault(int(node), str(operation)) != operation:
            raise GenotypeError("a node has one operation", where=f"node {node}")
    if not found or [n for n, name in found.items() if name == OUTPUT] != [max(found)]:
        raise GenotypeError("the last node, and only that, is the output")


def _text_201(edges: list[Edge]) -> str:
    """As in `|op~0|+|op~0|op~1|`: each node's edges, by input."""
    nodes = range(1, max(edge.node for edge in edges) + 1)
    into = [sorted((e.input, e.operation) for e in edges if e.node == node) for node in nodes]
    return "+".join("|" + "".join(f"{name}~{source}|" for source, name in node) for node in into)


def _parse_201(text: str) -> Genotype:
    parts: list[Part] = []
    nodes = text.split("+")
    if len(nodes) >= MAX_STATES:
        raise GenotypeError(f"the cell has {len(nodes)} nodes")
    for node, written in enumerate(nodes, 1):
        names = re.findall(r"([A-Za-z0-9_]{1,40})~([0-9]{1,2})\|", written)
        if written != "|" + "".join(f"{name}~{source}|" for name, source in names):
            raise GenotypeError(
                "the text is not a cell of NAS-Bench-201",
                where=f"node {node}: {written[:60]}",
                remedy="expected as in |none~0|+|skip_connect~0|nor_conv_3x3~1|+...",
            )
        if [int(source) for _, source in names] != list(range(node)):
            raise GenotypeError("a node names each earlier state once", where=f"node {node}")
        parts += [(name, node, int(source)) for name, source in names]
    return Genotype(tuple(parts), (len(nodes),), form=NASBENCH201)


def _from_matrix(value: dict[str, Any]) -> Genotype:
    matrix, names = value.get("matrix"), value.get("ops")
    size = len(matrix) if isinstance(matrix, list) else 0
    if (
        not 2 <= size <= MAX_STATES
        or not isinstance(matrix, list)
        or not isinstance(names, list)
        or len(names) != size
        or not all(isinstance(name, str) for name in names)
        or not all(isinstance(row, list) and len(row) == size for row in matrix)
        or not all(type(flag) is int and flag in (0, 1) for row in matrix for flag in row)
        or any(matrix[row][column] for row in range(size) for column in range(row + 1))
    ):
        raise GenotypeError(
            "the matrix form is a square of 0 and 1 above its diagonal, and an operation for each "
            "row"
        )
    if names[0] != "input" or names[-1] != OUTPUT:
        raise GenotypeError("the first row is the input and the last the output")
    # NAS-Bench-101 leaves out what nothing leads to; such a node's operation means nothing.
    kept = _fed(matrix)
    if kept[-1] != size - 1:
        raise GenotypeError("no path leads from the input to the output")
    parts = tuple(
        (names[node].replace("-", "_"), place, kept.index(source))
        for place, node in enumerate(kept)
        for source in kept[:place]
        if matrix[source][node]
    )
    return Genotype(parts, (len(kept) - 1,), form=NASBENCH101)


def _fed(matrix: list[list[int]]) -> list[int]:
    """The rows that a path from the first leads to, and the first."""
    fed = [0]
    for node in range(1, len(matrix)):
        if any(matrix[source][node] for source in fed):
            fed.append(node)
    return fed


def from_json(value: Any) -> Genotype:
    """Read our JSON form, NNI's, NAS-Bench-101's, or `{"normal": [...], "reduce": [...]}`.

    Raises:
        GenotypeError: anything else.
    """
    if not isinstance(value, dict):
        raise GenotypeError("a genotype in JSON is an object with normal and reduce")
    if isinstance(value.get("genotype"), dict):
        value = value["genotype"]
    if "matrix" in value and "ops" in value:
        return _from_matrix(value)
    if "normal" in value and ("reduce" in value or value.get("form", DARTS) != DARTS):
        return _build({key: value[key] for key in value if key in Genotype.__struct_fields__})
    if any(isinstance(key, str) and re.match(r"^(normal|reduce)_n\d+_", key) for key in value):
        return _from_nni(value)
    raise GenotypeError(
        "the JSON holds no genotype", remedy="expected the keys normal and reduce, or NNI's"
    )


def _build(fields: dict[str, Any]) -> Genotype:
    form = fields.get("form", DARTS)
    if not isinstance(form, str):
        raise GenotypeError("form must be a name")
    plain: dict[str, Any] = {"form": form}
    for cell in CELLS if form == DARTS else ("normal",):
        parts = fields.get(cell)
        if not isinstance(parts, list | tuple) or len(parts) > 1000:
            raise GenotypeError(f"{cell} must be a list of edges")
        if any(not isinstance(part, list | tuple) for part in parts):
            raise GenotypeError(f"{cell} must be a list of (operation, input)")
        plain[cell] = tuple(tuple(part) for part in parts)
        concat = fields.get(f"{cell}_concat")
        if concat is None:
            concat = range(2, 2 + len(parts) // 2)
        if not isinstance(concat, list | tuple | range):
            raise GenotypeError(f"{cell}_concat must be a list of states")
        plain[f"{cell}_concat"] = tuple(concat)
    return Genotype(**plain)


def _from_nni(value: dict[str, Any]) -> Genotype:
    fields: dict[str, Any] = {}
    for cell in CELLS:
        parts: list[Part] = []
        nodes = [
            int(match[1])
            for key in value
            if (match := re.fullmatch(rf"{cell}_n([0-9]{{1,3}})_switch", str(key)))
        ]
        if not nodes or max(nodes) >= MAX_STATES:
            raise GenotypeError(f"the NNI form has no {cell} nodes", where=f"{cell}_n2_switch")
        for node in range(2, max(nodes) + 1):
            # An operation on an edge that the switch leaves out does not count: such files exist.
            switch = value.get(f"{cell}_n{node}_switch", [])
            for name in switch if isinstance(switch, list) else [switch]:
                match = re.fullmatch(rf"{cell}_n{node}_p([0-9]{{1,3}})", str(name))
                operation = value.get(str(name))
                if not match or not isinstance(operation, str) or operation not in NNI_OPERATIONS:
                    raise GenotypeError(
                        "the NNI form names an unknown edge or operation", where=str(name)[:60]
                    )
                parts.append((NNI_OPERATIONS[operation], node, int(match[1])))
        plain = all(sum(p[1] == node for p in parts) == 2 for node in range(2, max(nodes) + 1))
        fields[cell] = tuple((p[0], p[2]) for p in parts) if plain else tuple(parts)
        fields[f"{cell}_concat"] = tuple(range(2, max(nodes) + 1))
    return Genotype(**fields)


def parse(text: str) -> Genotype:
    """Read a genotype from Python-looking text, JSON or a string, without evaluating any.

    Raises:
        GenotypeError: the text is not a genotype.
    """
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise GenotypeError(f"the genotype is longer than {MAX_TEXT} characters")
    if text.startswith("|"):
        return _parse_201(text)
    if text.startswith("{"):
        try:
            return from_json(msgspec.json.decode(text))
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
            raise GenotypeError("the genotype is not valid JSON", where=str(error)) from None
    try:
        with warnings.catch_warnings():
            # Python warns of odd escapes and numbers on stderr, which may be the dashboard.
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="exec").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise GenotypeError(
            "the text is not a genotype", remedy="expected Genotype(normal=[...], ...) or JSON"
        ) from None
    calls = [node.value for node in tree if isinstance(node, ast.Assign | ast.Expr)]
    if len(tree) != 1 or len(calls) != 1 or not isinstance(calls[0], ast.Call):
        raise GenotypeError("expected exactly one Genotype(...)", where=text[:60])
    call = calls[0]
    if not isinstance(call.func, ast.Name) or call.func.id != "Genotype":
        raise GenotypeError("only Genotype(...) is understood", where=text[:60])
    names = [name for name in Genotype.__struct_fields__ if name != "form"]
    if len(call.args) > len(names):
        raise GenotypeError("Genotype(...) has four parts", where=text[:60])
    fields = {name: _literal(node) for name, node in zip(names, call.args, strict=False)}
    for keyword in call.keywords:
        if keyword.arg not in names or keyword.arg in fields:
            raise GenotypeError(f"Genotype(...) has no part {keyword.arg!r} to set here")
        fields[keyword.arg] = _literal(keyword.value)
    return _build(fields)


def _literal(node: ast.expr) -> Any:
    """The value of a nested list, tuple, string, integer, or a `range` of two integers."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        # None larger: Python refuses to print an integer of thousands of digits.
        case ast.Constant(value=int() as value) if type(value) is int and value < 2**63:
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item) for item in items]
        case ast.Call(func=ast.Name(id=("range" | "list") as name), args=args, keywords=[]):
            values = [_literal(arg) for arg in args]
            if name == "list" and len(values) == 1 and isinstance(values[0], list):
                return values[0]
            if (
                name == "range"
                and 1 <= len(values) <= 2
                and all(type(v) is int and 0 <= v <= MAX_STATES for v in values)
            ):
                return list(range(*values))
    raise GenotypeError(
        "the genotype holds something that is not a literal",
        where=f"line {node.lineno}, column {node.col_offset + 1}",
    )


class Published(msgspec.Struct, frozen=True):
    """A cell from the literature with where it was read."""

    genotype: Genotype
    source: str


def published() -> dict[str, Published]:
    """The cells of the literature by name, as shipped in `genotypes.json`."""
    raw = resources.files("darts_engine.run").joinpath("genotypes.json").read_bytes()
    table = msgspec.json.decode(raw)["genotypes"]
    return {
        name: Published(from_json(entry), str(entry["source"])) for name, entry in table.items()
    }
