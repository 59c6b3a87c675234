"""The genotype: which operations a derived cell keeps, and where their inputs come from.

A genotype is kept in the published form: per cell a list of `(operation, input)`, two for each
node, or of `(operation, node, input)` where nodes may have any number of inputs (FairDARTS). States
0 and 1 are the cell's inputs, node i is state i + 2. Nothing here evaluates text: Python-looking
genotypes are parsed to a syntax tree, of which only literals, `range(...)` and the `Genotype(...)`
call itself are understood.
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
CELLS = ("normal", "reduce")

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


class Genotype(msgspec.Struct, frozen=True):
    """A derived architecture: the normal and the reduction cell.

    Raises:
        GenotypeError: when an edge names a state that does not exist before its node.
    """

    normal: tuple[Part, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Part, ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for cell in CELLS:
            parts, concat = self.cell(cell)
            _check_cell(cell, parts, concat)

    def cell(self, name: str) -> tuple[tuple[Part, ...], tuple[int, ...]]:
        """The published parts and the concatenated states of the cell `name`."""
        if name == "normal":
            return self.normal, self.normal_concat
        return self.reduce, self.reduce_concat

    def edges(self, name: str) -> list[Edge]:
        """The cell's edges in published order, each with its node."""
        parts, _ = self.cell(name)
        return [_edge(part, place) for place, part in enumerate(parts)]

    def live_edges(self, name: str) -> list[Edge]:
        """The edges that compute something: those from a state that the cell's inputs reach."""
        reached = {0, 1}
        for edge in sorted(self.edges(name), key=lambda edge: edge.node):
            if edge.input in reached:
                reached.add(edge.node)
        return [edge for edge in self.edges(name) if edge.input in reached]

    def nodes(self, name: str) -> int:
        """How many intermediate nodes the cell has, isolated ones included."""
        _, concat = self.cell(name)
        states = [edge.node for edge in self.edges(name)] + list(concat)
        return max(states) - 1

    def text(self) -> str:
        """The published Python form, as papers and their code print it."""

        def concat(states: tuple[int, ...]) -> str:
            return repr(list(states))

        def cell(parts: tuple[Part, ...]) -> str:
            return "[" + ", ".join(repr(tuple(part)) for part in parts) + "]"

        return (
            f"Genotype(normal={cell(self.normal)}, normal_concat={concat(self.normal_concat)}, "
            f"reduce={cell(self.reduce)}, reduce_concat={concat(self.reduce_concat)})"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for any JSON writer."""
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


def _check_cell(cell: str, parts: tuple[Part, ...], concat: tuple[int, ...]) -> None:
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
        if not 2 <= edge.node < MAX_STATES or not 0 <= edge.input < edge.node:
            raise refuse("an input must be a state before its node", part)
    if not concat:
        raise refuse("at least one state must be concatenated")
    if any(type(s) is not int or not 0 <= s < MAX_STATES for s in concat):
        raise refuse("a concatenated state is out of range", concat)
    if parts and len(parts[0]) == 2:
        last = _edge(parts[-1], len(parts) - 1).node
        if max(concat) > last:
            raise refuse("a concatenated state does not exist", concat)


def from_json(value: Any) -> Genotype:
    """Read our JSON form, NNI's, or the bare `{"normal": [...], "reduce": [...]}`.

    Raises:
        GenotypeError: anything else.
    """
    if not isinstance(value, dict):
        raise GenotypeError("a genotype in JSON is an object with normal and reduce")
    if isinstance(value.get("genotype"), dict):
        value = value["genotype"]
    if "normal" in value and "reduce" in value:
        return _build({key: value[key] for key in value if key in Genotype.__struct_fields__})
    if any(isinstance(key, str) and re.match(r"^(normal|reduce)_n\d+_", key) for key in value):
        return _from_nni(value)
    raise GenotypeError(
        "the JSON holds no genotype", remedy="expected the keys normal and reduce, or NNI's"
    )


def _build(fields: dict[str, Any]) -> Genotype:
    plain: dict[str, Any] = {}
    for cell in CELLS:
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
    """Read a genotype from Python-looking text or JSON, without evaluating either.

    Raises:
        GenotypeError: the text is not a genotype.
    """
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise GenotypeError(f"the genotype is longer than {MAX_TEXT} characters")
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
    names = Genotype.__struct_fields__
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
