"""Python-like literals, read without evaluating anything.

A text is parsed to a syntax tree, of which only strings, numbers, lists, tuples, dictionaries,
`range(...)` and a few harmless wrappings (`OrderedDict([...])`, `np.int64(0)`) are understood.
"""

import ast
import re
import warnings
from typing import Any

from darts_engine.run.architecture.genotype import MAX_STATES
from darts_engine.run.errors import GenotypeError

MAX_TEXT = 100_000
MAX_DEPTH = 12
# A string (perhaps without its end), a comment, or a bracket: each character is looked at once.
_TOKEN = re.compile(r"'(?:[^'\\\n]|\\.)*+'?|\"(?:[^\"\\\n]|\\.)*+\"?|#[^\n]*|[()\[\]{}]", re.DOTALL)
# What other programs print around a plain value.
_NUMBERS = {
    *("int", "float", "int8", "int16", "int32", "int64", "intp", "uint8", "uint16", "uint32"),
    *("uint64", "float16", "float32", "float64", "tensor"),
}
_LISTS = {"list", "tuple", "array", "tensor"}
_MODULES = {"np", "numpy", "torch", "collections", "builtins"}


def end_of(text: str, start: int = 0) -> int | None:
    """Where the bracket that opens at `start` has been closed; None if it is not, or is too deep.

    Strings and comments are passed over. At most `MAX_TEXT` characters are looked at.
    """
    depth = 0
    for token in _TOKEN.finditer(text, start, start + MAX_TEXT):
        sign = token[0]
        if sign in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                return None
        elif sign in ")]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def parsed(text: str) -> ast.expr:
    """The syntax tree of one expression.

    Raises:
        GenotypeError: the text is no expression.
    """
    try:
        with warnings.catch_warnings():
            # Python warns of odd escapes on stderr, which may be the dashboard's terminal.
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise GenotypeError(
            "the text is not a genotype",
            where=text[:60],
            remedy="expected Genotype(normal=[...], ...), JSON, or another form of docs/bring.md",
        ) from None


def value_of(text: str) -> Any:
    """The value of a text of one literal.

    Raises:
        GenotypeError: the text is no literal.
    """
    return literal(parsed(text))


def literal(node: ast.expr) -> Any:
    """The value of a nested list, tuple, dictionary, string, number, name of nothing, or range.

    Raises:
        GenotypeError: the node is something else.
    """
    match node:
        case ast.Constant(value=str() | None | bool() as value):
            return value
        # No larger ones: Python refuses to print an integer of thousands of digits.
        case ast.Constant(value=int() as value) if value < 2**63:
            return value
        case ast.Constant(value=float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
            not isinstance(value, bool) and value < 2**63
        ):
            return -value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [literal(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return _dictionary(keys, values)
        case ast.Call(func=function, args=args, keywords=keywords):
            name = _name(function)
            # Of `tensor(0.3, device='cuda:0')` and `array([...], dtype=float32)` the value counts.
            if not keywords or name in ("tensor", "array"):
                return _wrapped(name, [literal(arg) for arg in args], node)
    raise refused(node)


def refused(node: ast.expr) -> GenotypeError:
    """The error for a part of a text that is no literal."""
    return GenotypeError(
        "the genotype holds something that is not a literal",
        where=f"line {node.lineno}, column {node.col_offset + 1}",
    )


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=module), attr=name) if module in _MODULES:
            return name
    return ""


def _wrapped(name: str, values: list[Any], node: ast.expr) -> Any:
    """The value that a call of one of a few known names stands for."""
    match values:
        case [int() | float() as number] if name in _NUMBERS:
            return number
        case [str() as text] if name in ("str", "str_"):
            return text
        case [list() as items] if name in _LISTS:
            return items
        case [list() as pairs] if name in ("OrderedDict", "dict"):
            if all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in pairs):
                return {pair[0]: pair[1] for pair in pairs}
        case [dict() as table] if name in ("OrderedDict", "dict"):
            return table
        case [*numbers] if name == "range" and 1 <= len(numbers) <= 3:
            if (
                all(type(n) is int and 0 <= n <= MAX_STATES for n in numbers)
                and 0 not in values[2:]
            ):
                return list(range(*numbers))
    raise refused(node)


def _dictionary(keys: list[ast.expr | None], values: list[ast.expr]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in zip(keys, values, strict=True):
        match key:
            case ast.Constant(value=str() as name) if name not in found:
                # A function's bare name, as AutoDL's `connects`, is nothing that is read.
                found[name] = None if isinstance(value, ast.Name) else literal(value)
            case _:
                raise refused(key or value)
    return found
