"""A recurrent cell as a chain: what every node computes, of which node, and what the output is."""

from collections.abc import Sequence

from darts_engine.run.architecture.genotype import RECURRENT, Genotype, GenotypeChange
from darts_tui.console.safe_text import clean
from darts_tui.dashboard.widgets.lines import EMPTY, Line, Span, fit, width_of

# Cells between two columns of nodes.
GAP = 3


def chain_rows(
    genotype: Genotype, changed: Sequence[GenotypeChange], width: int, height: int
) -> list[Line]:
    """A row for each node, as in "3 ← tanh(2)"; new edges have a star.

    Where the rows do not fit, the nodes stand in two columns, if these fit.

    Args:
        genotype: of the form `recurrent`.
        changed: of its last derivation.
        width: cells that a row may take.
        height: rows that there are.
    """
    nodes = _nodes(genotype, changed)
    below = [_output(genotype)]
    wide = max((width_of(line) for line in nodes), default=0)
    if len(nodes) + 2 <= height or 2 * wide + GAP > width:
        return [_INPUT, *nodes, *below]
    half = (len(nodes) + 1) // 2
    beside = [*nodes[half:], *[EMPTY] * (2 * half - len(nodes))]
    pairs = zip(nodes[:half], beside, strict=True)
    return [_INPUT, *((*fit(left, wide + GAP), *right) for left, right in pairs), *below]


_INPUT: Line = (Span("  0 ", "muted"), Span("← x, h", "muted"))


def _nodes(genotype: Genotype, changed: Sequence[GenotypeChange]) -> list[Line]:
    added = {(change.node, part) for change in changed for part in change.added}
    lines: list[Line] = []
    for edge in genotype.edges(RECURRENT):
        part = f"{clean(edge.operation)}({edge.input})"
        is_new = (edge.node, f"{edge.operation}({edge.input})") in added
        lines.append(
            (
                Span(f"{edge.node:3d} ", "muted"),
                Span("← ", "muted"),
                Span(f"{part}{'*' if is_new else ''}", "warning bold" if is_new else ""),
            )
        )
    return lines


def _output(genotype: Genotype) -> Line:
    states = genotype.normal_concat
    first, last = min(states), max(states)
    whole = sorted(states) == list(range(first, last + 1)) and len(states) > 2
    names = f"{first}–{last}" if whole else ", ".join(map(str, states))
    return (Span("  h ", "muted"), Span("← ", "muted"), Span(f"mean of {names}", "muted"))
