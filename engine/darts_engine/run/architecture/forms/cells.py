"""Cells as lists: the published pairs, and what other code makes of them.

A cell is a list of `(operation, input)`, two for each node; of `(operation, node, input)`, as
FairDARTS has it; or a list of nodes, each a list of `(operation, input)` (pt.darts; AutoDL with a
score behind every input, which is dropped). The lists come as `Genotype(...)`, as a dictionary, or
four in a row. A recurrent cell is a list of `(operation, input)`, one for each node.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from darts_engine.run.architecture.genotype import (
    CELLS,
    DARTS,
    MAX_STATES,
    RECURRENT,
    Genotype,
    Part,
)
from darts_engine.run.errors import GenotypeError

# The parts of a `Genotype(...)`, in the order of the official code's named tuple.
FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
RECURRENT_FIELDS = ("recurrent", "concat")
# AutoDL's two more, about how its networks connect cells; nothing of the cell itself.
IGNORED = ("connectN", "connects")
MAX_EDGES = 1000
_PAIRS = "must be a list of (operation, input)"


def fields_of(keys: Iterable[str | None]) -> tuple[str, ...]:
    """The parts that a genotype with these keys may have."""
    return RECURRENT_FIELDS if any(key in RECURRENT_FIELDS for key in keys) else FIELDS


def from_fields(fields: Mapping[str, Any]) -> Genotype:
    """The genotype of its parts by name; `form` names that of another space.

    Raises:
        GenotypeError: a part is missing, unknown, or no list of edges or states.
    """
    if RECURRENT in fields:
        return recurrent(fields.get("recurrent"), fields.get("concat"))
    form = fields.get("form", DARTS)
    if not isinstance(form, str):
        raise GenotypeError("form must be a name")
    allowed = {*FIELDS, *IGNORED, "form"}
    for key in fields:
        # A bottleneck, a third cell: to leave it out would be another architecture.
        if key not in allowed and key.startswith(CELLS):
            raise GenotypeError(
                f"a genotype has no part {key[:40]!r}", remedy=f"it has {', '.join(FIELDS)}"
            )
    if form != DARTS:
        return Genotype(form=form, **_cell("normal", fields))
    given = [cell for cell in CELLS if fields.get(cell) is not None]
    if len(given) == 1:
        (missing,) = set(CELLS) - set(given)
        raise GenotypeError(
            f"the genotype has one cell, {given[0]}, and no {missing} cell: nothing here trains "
            "a network of it",
            remedy=f"give {missing} and {missing}_concat too; they may repeat the other cell",
        )
    return Genotype(**_cell("normal", fields), **_cell("reduce", fields))


def _cell(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    written = fields.get(name)
    if not isinstance(written, list | tuple) or len(written) > MAX_EDGES:
        raise GenotypeError(f"{name} must be a list of edges")
    if any(not isinstance(part, list | tuple) for part in written):
        raise GenotypeError(f"{name} {_PAIRS}")
    parts, nodes = _parts(name, written)
    concat = fields.get(f"{name}_concat")
    if concat is None:
        concat = range(2, 2 + nodes)
    if not isinstance(concat, list | tuple | range):
        raise GenotypeError(f"{name}_concat must be a list of states")
    return {name: parts, f"{name}_concat": tuple(concat)}


def _parts(name: str, written: Any) -> tuple[tuple[Part, ...], int]:
    """The edges in published form, and the number of nodes."""
    is_nested = all(not part or isinstance(part[0], list | tuple) for part in written)
    if not is_nested or not any(written):
        flat = [tuple(part) for part in written]
        # A third item is a node, unless one of them is a fraction: then all are scores.
        if any(len(part) == 3 and isinstance(part[2], float) for part in flat):
            flat = [part[:2] for part in flat]
        places = [part[1] for part in flat if len(part) == 3 and type(part[1]) is int]
        return tuple(flat), max(places, default=1) - 1 if places else len(flat) // 2
    nodes = [[tuple(edge) if isinstance(edge, list | tuple) else () for edge in n] for n in written]
    if len(nodes) > MAX_STATES or any(len(node) > MAX_STATES for node in nodes):
        raise GenotypeError(f"{name} has more nodes or edges than a cell can have")
    if any(len(edge) not in (2, 3) for node in nodes for edge in node):
        raise GenotypeError(f"{name} must be a list of nodes, each {_PAIRS[8:]}")
    return from_nodes([[edge[:2] for edge in node] for node in nodes]), len(nodes)


def from_nodes(nodes: list[list[tuple[Any, ...]]]) -> tuple[Part, ...]:
    """Published edges of the (operation, input) of each node, from state 2 on."""
    if all(len(node) == 2 for node in nodes):
        return tuple(edge for node in nodes for edge in node)
    return tuple((edge[0], place, edge[1]) for place, node in enumerate(nodes, 2) for edge in node)


def from_four(values: list[Any]) -> Genotype:
    """The genotype of `[normal, normal_concat, reduce, reduce_concat]`."""
    return from_fields(dict(zip(FIELDS, values, strict=True)))


def recurrent(parts: Any, concat: Any) -> Genotype:
    """A recurrent cell of pairs (operation, input) and the states of its mean; all by default."""
    if (
        not isinstance(parts, list | tuple)
        or not 1 <= len(parts) < MAX_STATES
        or any(not isinstance(part, list | tuple) or len(part) != 2 for part in parts)
    ):
        raise GenotypeError("recurrent must be a list of (operation, input), one for each node")
    states = range(1, len(parts) + 1) if concat is None else concat
    if not isinstance(states, list | tuple | range):
        raise GenotypeError("concat must be a list of states")
    chain = tuple((part[0], node, part[1]) for node, part in enumerate(parts, 1))
    return Genotype(chain, tuple(states), form=RECURRENT)


def nodes_of(genotype: Genotype, cell: str) -> list[list[tuple[str, int]]]:
    """The (operation, input) of each node of a cell, from state 2 on."""
    nodes: list[list[tuple[str, int]]] = [[] for _ in range(genotype.nodes(cell))]
    for edge in genotype.edges(cell):
        nodes[edge.node - 2].append((edge.operation, edge.input))
    return nodes


def write_nested(genotype: Genotype) -> str:
    """pt.darts' form: `Genotype(normal=[[('sep_conv_3x3', 0), ('skip_connect', 1)], ...], ...)`.

    Raises:
        GenotypeError: the genotype has no normal and reduction cell.
    """
    refuse_other_spaces("nested", genotype)
    written = []
    for cell in CELLS:
        _, concat = genotype.cell(cell)
        written += [f"{cell}={nodes_of(genotype, cell)!r}", f"{cell}_concat={list(concat)!r}"]
    return f"Genotype({', '.join(written)})"


def refuse_other_spaces(form: str, genotype: Genotype) -> None:
    """Refuse a genotype without a normal and a reduction cell.

    Raises:
        GenotypeError: it is of another space.
    """
    if genotype.form != DARTS:
        raise GenotypeError(
            f"the form {form} has no place for a cell of {genotype.form}",
            remedy="it holds a normal and a reduction cell; 'text' and 'json' hold every genotype",
        )


def held(
    form: str,
    genotype: Genotype,
    operations: Iterable[str] | None = None,
    *,
    nodes: int | None = None,
    inputs: int | None = 2,
    is_edge_single: bool = True,
) -> dict[str, list[list[tuple[str, int]]]]:
    """The (operation, input) of each node of each cell, for forms whose cells join all nodes.

    Args:
        form: the form's name.
        genotype: to be written.
        operations: those that the form has a name for; None for any.
        nodes: how many nodes its cells have; None for any number.
        inputs: how many inputs each node has; None for any number.
        is_edge_single: whether it holds one operation on an edge.

    Raises:
        GenotypeError: the form cannot hold the genotype; the message says what of it.
    """
    refuse_other_spaces(form, genotype)
    known = None if operations is None else set(operations)
    out = {cell: nodes_of(genotype, cell) for cell in CELLS}
    for cell in CELLS:
        for edge in genotype.edges(cell):
            if known is not None and edge.operation not in known:
                raise GenotypeError(
                    f"the form {form} has no name for the operation {edge.operation}",
                    where=f"{cell} cell, node {edge.node}, input {edge.input}",
                )
    for cell, found in out.items():
        if nodes is not None and len(found) != nodes:
            raise GenotypeError(
                f"the form {form} holds cells of {nodes} nodes, not {len(found)}",
                where=f"{cell} cell",
            )
        for place, node in enumerate(found, 2):
            sources = [source for _, source in node]
            where = f"{cell} cell, node {place}"
            if inputs is not None and len(node) != inputs:
                raise GenotypeError(
                    f"the form {form} holds {inputs} inputs of every node, not {len(node)}",
                    where=where,
                )
            if is_edge_single and len(set(sources)) != len(sources):
                raise GenotypeError(f"the form {form} allows one operation per edge", where=where)
        _, concat = genotype.cell(cell)
        if sorted(concat) != list(range(2, 2 + len(found))):
            raise GenotypeError(
                f"the form {form} joins all nodes, and cannot say that the output is of some",
                where=f"{cell}_concat {list(concat)!r}"[:80],
            )
    return out
