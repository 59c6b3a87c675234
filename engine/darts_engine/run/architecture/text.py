"""Reads genotypes: Python-like text, JSON of several kinds, strings, matrices.

No text is evaluated. Python-like text is parsed to a syntax tree, of which only literals,
`range(...)` and the `Genotype(...)` call itself are understood.
"""

import ast
import re
import warnings
from importlib import resources
from typing import Any

import msgspec

from darts_engine.run.architecture.genotype import (
    CELLS,
    DARTS,
    MAX_STATES,
    NASBENCH101,
    NASBENCH201,
    NNI_OPERATIONS,
    OUTPUT,
    RECURRENT,
    Genotype,
    Part,
)
from darts_engine.run.errors import GenotypeError

MAX_TEXT = 100_000


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
    # NAS-Bench-101 leaves out nodes without an input; their operation has no effect.
    kept = _reachable(matrix)
    if kept[-1] != size - 1:
        raise GenotypeError("no path leads from the input to the output")
    parts = tuple(
        (names[node].replace("-", "_"), place, kept.index(source))
        for place, node in enumerate(kept)
        for source in kept[:place]
        if matrix[source][node]
    )
    return Genotype(parts, (len(kept) - 1,), form=NASBENCH101)


def _reachable(matrix: list[list[int]]) -> list[int]:
    """The first row, and all rows that a path leads to from it."""
    fed = [0]
    for node in range(1, len(matrix)):
        if any(matrix[source][node] for source in fed):
            fed.append(node)
    return fed


def from_json(value: Any) -> Genotype:
    """Read `Genotype.to_json`, NNI's form, NAS-Bench-101's, or `{"normal": ..., "reduce": ...}`.

    Raises:
        GenotypeError: the JSON is none of these.
    """
    if not isinstance(value, dict):
        raise GenotypeError("a genotype in JSON is an object with normal and reduce")
    if isinstance(value.get("genotype"), dict):
        value = value["genotype"]
    if "matrix" in value and "ops" in value:
        return _from_matrix(value)
    if "recurrent" in value:
        return _recurrent(value.get("recurrent"), value.get("concat"))
    if "normal" in value and ("reduce" in value or value.get("form", DARTS) != DARTS):
        return _build({key: value[key] for key in value if key in Genotype.__struct_fields__})
    if any(isinstance(key, str) and re.match(r"^(normal|reduce)_n\d+_", key) for key in value):
        return _from_nni(value)
    raise GenotypeError(
        "the JSON holds no genotype",
        remedy="expected the keys normal and reduce, recurrent and concat, or NNI's",
    )


def _recurrent(parts: Any, concat: Any) -> Genotype:
    """A recurrent cell of pairs (operation, input) and the states of its mean; all by default."""
    if not isinstance(parts, list | tuple) or not 1 <= len(parts) < MAX_STATES:
        raise GenotypeError("recurrent must be a list of (operation, input), one for each node")
    if any(not isinstance(part, list | tuple) or len(part) != 2 for part in parts):
        raise GenotypeError("recurrent must be a list of (operation, input), one for each node")
    states = range(1, len(parts) + 1) if concat is None else concat
    if not isinstance(states, list | tuple | range):
        raise GenotypeError("concat must be a list of states")
    chain = tuple((part[0], node, part[1]) for node, part in enumerate(parts, 1))
    return Genotype(chain, tuple(states), form=RECURRENT)


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
            # An edge that the switch leaves out does not count; in some files it has an operation.
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
    """Read a genotype from Python-like text, JSON or a string, without evaluating it.

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
            # Python warns of odd escapes on stderr, which may be the dashboard's terminal.
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
    if any(keyword.arg in ("recurrent", "concat") for keyword in call.keywords):
        names = ["recurrent", "concat"]
    if len(call.args) > len(names):
        raise GenotypeError(f"Genotype(...) has the parts {', '.join(names)}", where=text[:60])
    fields = {name: _literal(node) for name, node in zip(names, call.args, strict=False)}
    for keyword in call.keywords:
        if keyword.arg not in names or keyword.arg in fields:
            raise GenotypeError(f"Genotype(...) has no part {keyword.arg!r} to set here")
        fields[keyword.arg] = _literal(keyword.value)
    if "recurrent" in names:
        return _recurrent(fields.get("recurrent"), fields.get("concat"))
    return _build(fields)


def _literal(node: ast.expr) -> Any:
    """The value of a nested list, tuple, string, integer, or a `range` of two integers."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        # No larger ones: Python refuses to print an integer of thousands of digits.
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
    """A published cell and its source."""

    genotype: Genotype
    source: str


def published() -> dict[str, Published]:
    """The published cells in `genotypes.json`, by name."""
    raw = resources.files("darts_engine.run.architecture").joinpath("genotypes.json").read_bytes()
    table = msgspec.json.decode(raw)["genotypes"]
    return {
        name: Published(from_json(entry), str(entry["source"])) for name, entry in table.items()
    }
