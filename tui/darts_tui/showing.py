"""A genotype on the command line: its cells, its text and the size of its network."""

from typing import Any

from darts_engine.run.genotype import CELLS, Genotype
from darts_engine.run.size import PRESETS, Size


def describe(genotype: Genotype, size: Size) -> dict[str, Any]:
    """What `show --json` prints."""
    return {
        "genotype": genotype.to_json(),
        "text": genotype.text(),
        "parameters": size.parameters,
        "parameters_with_auxiliary": size.parameters_with_auxiliary,
        "multiply_adds": size.multiply_adds,
    }


def describe_derived(genotype: Genotype) -> dict[str, Any]:
    """What `derive --json` prints: edges by strength, as published."""
    return {
        "normal": [list(part) for part in genotype.normal],
        "reduce": [list(part) for part in genotype.reduce],
        "text": genotype.text(),
    }


def cells_text(genotype: Genotype) -> str:
    """Both cells for people, a line per node."""
    lines = []
    for cell in CELLS:
        _, concat = genotype.cell(cell)
        lines.append(f"{cell} cell, output joins states {', '.join(map(str, concat))}")
        edges = genotype.edges(cell)
        for node in sorted({edge.node for edge in edges}):
            parts = [f"{e.operation}({e.input})" for e in edges if e.node == node]
            lines.append(f"  state {node} = " + " + ".join(parts))
    return "\n".join(lines)


def size_text(
    size: Size, network: str, channels: int | None, layers: int | None, classes: int | None
) -> str:
    """The size for people, with the network it is of."""
    preset = PRESETS[network]
    what = (
        f"{network} network, C={channels or preset.channels}, {layers or preset.layers} cells, "
        f"{classes or preset.classes} classes"
    )
    return (
        f"{what}\n"
        f"  parameters     {size.parameters:>13,}  ({size.parameters / 1e6:.2f} M)\n"
        f"  with auxiliary {size.parameters_with_auxiliary:>13,}\n"
        f"  multiply-adds  {size.multiply_adds:>13,}  ({size.multiply_adds / 1e6:.0f} M)"
    )
