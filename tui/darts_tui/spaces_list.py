"""`darts-tui spaces`: the search spaces, what their edges may take, and how large they are."""

from typing import Any

from darts_engine.run.catalog import SPACES, entry
from darts_engine.run.spaces import FACTS


def describe(name: str) -> dict[str, Any]:
    """A space as `spaces --json` prints it, at its published size.

    Raises:
        NotFoundError: there is no such space.
    """
    about = entry("space", SPACES, name).summary
    if name not in FACTS:
        return {"name": name, "about": about}
    facts = FACTS[name]
    return {
        "name": name,
        "about": about,
        "paper": facts.paper,
        "cells": list(facts.cells),
        "nodes": facts.nodes,
        "edges": facts.edges,
        "candidates": list(facts.candidates),
        "candidates_per_edge": facts.per_edge,
        "channels": facts.channels,
        "layers": facts.layers,
        "parameters": facts.parameters,
        "alphas": len(facts.cells) * facts.edges * facts.per_edge,
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
    which = "each edge" if count == total else f"each edge has {count} of its own among these"
    return (
        f"{found['name']}: {found['about']}\n{found['paper']}\n\n"
        f"cells       {', '.join(found['cells'])}; {found['nodes']} nodes and "
        f"{found['edges']} edges in each\n"
        f"candidates  {', '.join(found['candidates'])} ({which})\n"
        f"supernet    C={found['channels']}, {found['layers']} cells, 10 classes: "
        f"{found['parameters']:,} parameters, {found['alphas']} alphas\n\n"
        "--channels, --layers and --nodes set another size."
    )
