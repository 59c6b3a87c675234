"""A cell as Graphviz text, drawn as in the figures of the DARTS paper.

Left to right: the outputs of the two preceding cells, c_{k-2} and c_{k-1}; the nodes, numbered
from 0; the concatenation c_{k}. Operations stand on the edges. A cell of NAS-Bench-201 has one
input, its last node is its output, and edges with the operation none are left out. In a cell of
NAS-Bench-101 the operations stand in the nodes. A recurrent cell begins with the token x_{t} and
the state h_{t-1}, which meet in node 0; the mean of its nodes is h_{t}. The background is opaque,
so that light and dark viewers show the same picture.
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape

import graphviz

from darts_engine.run.architecture.genotype import (
    DARTS,
    NASBENCH101,
    NASBENCH201,
    NONE,
    RECURRENT,
    Genotype,
)
from darts_engine.run.architecture.size import joined_states
from darts_tui.console.safe_text import clean

# DejaVu Sans is in matplotlib's wheel. SVG viewers without it take Verdana, which is as wide.
FONT = "DejaVu Sans,Verdana,sans-serif"
INPUTS = ("c_{k-2}", "c_{k-1}")
JOINED = "c_{k}"
ONE_INPUT, LAST = "c_{in}", "c_{out}"
TOKEN, BEFORE, AFTER, MEAN = "x_{t}", "h_{t-1}", "h_{t}", "mean"
SUBSCRIPTS = {
    "c_{k-2}": '<<I>c</I><SUB><FONT POINT-SIZE="10">k-2</FONT></SUB>>',
    "c_{k-1}": '<<I>c</I><SUB><FONT POINT-SIZE="10">k-1</FONT></SUB>>',
    "c_{k}": '<<I>c</I><SUB><FONT POINT-SIZE="10">k</FONT></SUB>>',
    "c_{in}": '<<I>c</I><SUB><FONT POINT-SIZE="10">in</FONT></SUB>>',
    "c_{out}": '<<I>c</I><SUB><FONT POINT-SIZE="10">out</FONT></SUB>>',
    "x_{t}": '<<I>x</I><SUB><FONT POINT-SIZE="10">t</FONT></SUB>>',
    "h_{t-1}": '<<I>h</I><SUB><FONT POINT-SIZE="10">t-1</FONT></SUB>>',
    "h_{t}": '<<I>h</I><SUB><FONT POINT-SIZE="10">t</FONT></SUB>>',
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
        cell: one of the genotype's.
        title: the heading; it may hold any text.
        theme: a name in `THEMES`.

    Returns:
        DOT with node names `c_{k-2}`, `c_{k-1}`, `0`, `1`, ..., `c_{k}`. A node without an input is
        dashed and, as in the network that is built from the cell, not concatenated. With one input,
        `c_{in}`, `1`, `2`, ..., `c_{out}`. Of a recurrent cell `x_{t}`, `h_{t-1}`, `0`, `1`, ...,
        `mean`, `h_{t}`.
    """
    colours = THEMES[theme]
    if genotype.form == RECURRENT:
        return _recurrent_dot(genotype, title, colours)
    if genotype.form != DARTS:
        return _one_input_dot(genotype, cell, title, colours)
    edges = genotype.edges(cell)
    fed = {edge.node for edge in genotype.live_edges(cell)}
    graph = _graph(title, colours)
    with graph.subgraph(graph_attr={"rank": "source"}) as first:
        for name in INPUTS:
            first.node(name, SUBSCRIPTS[name], fillcolor=colours.input)
    for state in range(2, genotype.nodes(cell) + 2):
        isolated = {} if state in fed else {"style": "rounded,dashed", "color": colours.faint}
        # With an explicit label: not every renderer uses the name of a node without one.
        name = state_name(state)
        graph.node(name, name, fillcolor=colours.node, **isolated)
    with graph.subgraph(graph_attr={"rank": "sink"}) as last:
        last.node(JOINED, SUBSCRIPTS[JOINED], fillcolor=colours.output)
    for edge in edges:
        graph.edge(state_name(edge.input), state_name(edge.node), _operation(edge.operation))
    for state in joined_states(genotype, cell):
        graph.edge(state_name(state), JOINED, color=colours.faint)
    return str(graph.source)


def _one_input_dot(genotype: Genotype, cell: str, title: str, colours: Theme) -> str:
    edges = genotype.edges(cell)
    if genotype.form == NASBENCH201:
        edges = [edge for edge in edges if edge.operation != NONE]
    fed = {edge.node for edge in genotype.live_edges(cell)}
    last = genotype.nodes(cell)
    computes = {edge.node: edge.operation for edge in edges if genotype.form == NASBENCH101}
    graph = _graph(title, colours)
    with graph.subgraph(graph_attr={"rank": "source"}) as first:
        first.node(ONE_INPUT, SUBSCRIPTS[ONE_INPUT], fillcolor=colours.input)
    for state in range(1, last + 1):
        isolated = {} if state in fed else {"style": "rounded,dashed", "color": colours.faint}
        if state == last:
            with graph.subgraph(graph_attr={"rank": "sink"}) as end:
                end.node(LAST, SUBSCRIPTS[LAST], fillcolor=colours.output, **isolated)
            continue
        label = _literal(computes.get(state, str(state)))
        graph.node(str(state), label, fillcolor=colours.node, **isolated)
    for edge in edges:
        names = (_one_input_name(edge.input, last), _one_input_name(edge.node, last))
        graph.edge(*names, _operation(edge.operation) if edge.node not in computes else None)
    return str(graph.source)


def _recurrent_dot(genotype: Genotype, title: str, colours: Theme) -> str:
    graph = _graph(title, colours)
    with graph.subgraph(graph_attr={"rank": "source"}) as first:
        for name in (TOKEN, BEFORE):
            first.node(name, SUBSCRIPTS[name], fillcolor=colours.input)
    for state in range(genotype.nodes(RECURRENT) + 1):
        graph.node(str(state), str(state), shape="circle", margin="0.02", fillcolor=colours.node)
    around = {"shape": "ellipse", "height": "0.3", "margin": "0.04,0.02", "color": colours.faint}
    graph.node(MEAN, MEAN, fillcolor=colours.background, **around)
    with graph.subgraph(graph_attr={"rank": "sink"}) as last:
        last.node(AFTER, SUBSCRIPTS[AFTER], fillcolor=colours.output)
    for name in (TOKEN, BEFORE):
        graph.edge(name, "0")
    for edge in genotype.edges(RECURRENT):
        graph.edge(str(edge.input), str(edge.node), _operation(edge.operation))
    for state in genotype.normal_concat:
        graph.edge(str(state), MEAN, color=colours.faint)
    graph.edge(MEAN, AFTER)
    return str(graph.source)


def _one_input_name(state: int, last: int) -> str:
    return {0: ONE_INPUT, last: LAST}.get(state, str(state))


def _graph(title: str, colours: Theme) -> graphviz.Digraph:
    heading = {"label": _literal(title), "labelloc": "t", "fontsize": "15"} if title else {}
    font = {"fontname": FONT, "fontcolor": colours.text}
    return graphviz.Digraph(
        "cell",
        # Of the distances and efforts (mclimit) tried on all published cells, these let the fewest
        # lines run through the text of others: 2 in 34 cells.
        graph_attr={
            "rankdir": "LR",
            "bgcolor": colours.background,
            "pad": "0.2",
            "nodesep": "0.15",
            "ranksep": "0.9",
            "mclimit": "10",
            **font,
            **heading,
        },
        node_attr={
            "shape": "box",
            "style": "rounded,filled",
            "height": "0.45",
            "width": "0.5",
            "margin": "0.1,0.04",
            "penwidth": "1.1",
            "color": colours.line,
            "fontsize": "14",
            **font,
        },
        edge_attr={"arrowsize": "0.7", "color": colours.line, "fontsize": "12", **font},
    )


def state_name(state: int) -> str:
    """The name of a state in the papers: c_{k-2}, c_{k-1}, then the nodes from 0."""
    return INPUTS[state] if state < len(INPUTS) else str(state - len(INPUTS))


def _operation(name: str) -> str:
    """An HTML-like label: its padding keeps the text off its own line."""
    table = '<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="6">'
    return f"<{table}<TR><TD>{escape(clean(name))}</TD></TR></TABLE>>"


def _literal(text: str) -> str:
    r"""A label that shows `text` as it is: no escapes such as \N, no entities, no HTML."""
    # Not through str(): graphviz knows by the value's type that "<b>" is no HTML.
    label: str = graphviz.escape(clean(text).replace("&", "&amp;"))
    return label
