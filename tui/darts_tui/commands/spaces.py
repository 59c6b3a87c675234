"""`darts-tui spaces`: the search spaces, the operations of their edges, and their sizes."""

from typing import Any

from darts_engine.run.architecture.spaces import SPECS
from darts_engine.run.settings.catalog import SPACES, entry


def describe(name: str) -> dict[str, Any]:
    """A space as `spaces --json` prints it, at its published size.

    Raises:
        NotFoundError: there is no such space.
    """
    about = entry("space", SPACES, name).summary
    if name not in SPECS:
        return {"name": name, "about": about}
    spec = SPECS[name]
    return {
        "name": name,
        "about": about,
        "paper": spec.paper,
        "cells": list(spec.cells),
        "nodes": spec.nodes,
        "edges": spec.edges,
        "candidates": list(spec.candidates),
        "candidates_per_edge": spec.per_edge,
        "channels": spec.channels,
        "layers": spec.layers,
        "parameters": spec.parameters,
        "alphas": spec.alphas,
        "inputs": spec.inputs,
        "parents": list(spec.parents),
        "has_free_nodes": spec.has_free_nodes,
    }


def list_text() -> str:
    """A line for each."""
    wide = max(map(len, SPACES))
    lines = [f"{name:<{wide}}  {known.summary}" for name, known in SPACES.items()]
    return "\n".join([*lines, "", "'darts-tui spaces NAME' explains one."])


def text(found: dict[str, Any]) -> str:
    """One space for people."""
    if "paper" not in found:
        return f"{found['name']}: {found['about']}"
    count, total = found["candidates_per_edge"], len(found["candidates"])
    chooser = "node" if found["parents"] else "edge"
    which = f"each {chooser}"
    if count != total:
        which += f" has {count} of its own among these"
    # Some sizes are not published.
    weights = f"{found['parameters']:,} parameters, " if found["parameters"] else ""
    sizes = (
        "--channels, --layers and --nodes set"
        if found["has_free_nodes"]
        else ("--channels and --layers set")
    )
    return (
        f"{found['name']}: {found['about']}\n{found['paper']}\n\n"
        f"cells       {_cells(found)}\n"
        f"candidates  {', '.join(found['candidates'])} ({which})\n"
        f"supernet    C={found['channels']}, {found['layers']} cells, 10 classes: "
        f"{weights}{found['alphas']} alphas\n\n"
        f"{sizes} another size."
    )


def _cells(found: dict[str, Any]) -> str:
    """The structure of a cell."""
    if found["parents"]:
        *nodes, output = found["parents"]
        return (
            f"one type, one input; {found['nodes']} nodes take "
            f"{', '.join(map(str, nodes))} of the states before them, the output {output}"
        )
    if found["inputs"] == 1:
        return (
            f"one type, one input; {found['nodes']} nodes and {found['edges']} edges, the last "
            "node is the output"
        )
    return f"{', '.join(found['cells'])}; {found['nodes']} nodes and {found['edges']} edges in each"
