"""A cell as Graphviz text, in the way the field's papers draw it.

Left to right: the outputs of the two cells before, c_{k-2} and c_{k-1}; the nodes, numbered from 0;
the concatenation c_{k}. Operations stand on the edges. The background is opaque, so that the
picture reads the same in a white and in a dark viewer.
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape

from darts_engine.run.genotype import Genotype
from darts_engine.run.size import joined_states
from darts_tui.safe_text import clean

# DejaVu Sans comes with the package's fonts; Verdana has its widths where an SVG is viewed without.
FONT = "DejaVu Sans,Verdana,sans-serif"
INPUTS = ("c_{k-2}", "c_{k-1}")
OUTPUT = "c_{k}"
SUBSCRIPTS = {
    "c_{k-2}": '<<I>c</I><SUB><FONT POINT-SIZE="10">k-2</FONT></SUB>>',
    "c_{k-1}": '<<I>c</I><SUB><FONT POINT-SIZE="10">k-1</FONT></SUB>>',
    "c_{k}": '<<I>c</I><SUB><FONT POINT-SIZE="10">k</FONT></SUB>>',
}


@dataclass(frozen=True)
class Theme:
    """Colours of a drawing, as #rrggbb."""

    background: str
    text: str
    line: str
    faint: str
    input: str
    node: str
    output: str


THEMES = {
    "light": Theme(
        background="#ffffff",
        text="#1a1a1a",
        line="#404040",
        faint="#8a8a8a",
        input="#cfe8cf",
        node="#cfe0f5",
        output="#f6e6b4",
    ),
    "dark": Theme(
        background="#16181d",
        text="#f0f0f0",
        line="#b8bcc4",
        faint="#7d828c",
        input="#2f5a3a",
        node="#2d4a73",
        output="#6b5518",
    ),
}


def cell_dot(genotype: Genotype, cell: str, *, title: str = "", theme: str = "light") -> str:
    """Graphviz text of one cell.

    Args:
        genotype: the architecture.
        cell: "normal" or "reduce".
        title: stands above the drawing; foreign text is fine.
        theme: a name in `THEMES`.

    Returns:
        DOT with node names `c_{k-2}`, `c_{k-1}`, `0`, `1`, ..., `c_{k}`. A node without an input is
        dashed and, as in the network that is built from the cell, not concatenated.
    """
    colours = THEMES[theme]
    edges = genotype.edges(cell)
    fed = {edge.node for edge in edges}
    lines = ["digraph cell {", *_defaults(title, colours)]
    lines.append("  { rank=source;")
    lines += [f"    {_box(name, colours.input)}" for name in INPUTS]
    lines.append("  }")
    for state in range(2, genotype.nodes(cell) + 2):
        dashed = "" if state in fed else f', style="rounded,dashed", color="{colours.faint}"'
        lines.append(f"  {_box(state_name(state), colours.node, more=dashed)}")
    lines.append(f"  {{ rank=sink; {_box(OUTPUT, colours.output)} }}")
    for edge in edges:
        ends = f"{_quote(state_name(edge.input))} -> {_quote(state_name(edge.node))}"
        lines.append(f"  {ends} [label={_operation(edge.operation)}];")
    for state in joined_states(genotype, cell):
        ends = f"{_quote(state_name(state))} -> {_quote(OUTPUT)}"
        lines.append(f'  {ends} [color="{colours.faint}"];')
    lines.append("}")
    return "\n".join(lines) + "\n"


def _defaults(title: str, colours: Theme) -> list[str]:
    heading = f', label={_quote(title)}, labelloc="t", fontsize=15' if title else ""
    font = f'fontname="{FONT}", fontcolor="{colours.text}"'
    # Of the distances and efforts (mclimit) tried on all published cells, these are the ones at
    # which the fewest lines run through the text of others: 2 in 34 cells.
    graph = (
        f'rankdir="LR", bgcolor="{colours.background}", pad=0.2, '
        "nodesep=0.15, ranksep=0.9, mclimit=10"
    )
    shape = 'shape="box", style="rounded,filled", height=0.45, width=0.5, margin="0.1,0.04"'
    line = f'color="{colours.line}"'
    return [
        f"  graph [{graph}, {font}{heading}];",
        f"  node [{shape}, penwidth=1.1, {line}, fontsize=14, {font}];",
        f"  edge [arrowsize=0.7, {line}, fontsize=12, {font}];",
    ]


def state_name(state: int) -> str:
    """How the papers call a state: c_{k-2}, c_{k-1}, then the nodes from 0."""
    return INPUTS[state] if state < len(INPUTS) else str(state - len(INPUTS))


def _box(name: str, fill: str, *, more: str = "") -> str:
    label = SUBSCRIPTS.get(name, _quote(name))
    return f'{_quote(name)} [label={label}, fillcolor="{fill}"{more}];'


def _operation(name: str) -> str:
    """An HTML-like label: its padding keeps the text off its own line."""
    table = '<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="6">'
    return f"<{table}<TR><TD>{escape(clean(name))}</TD></TR></TABLE>>"


def _quote(text: str) -> str:
    r"""A DOT string that shows `text` as it is: no escapes such as \N, no entities, no way out."""
    shown = clean(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}"'
