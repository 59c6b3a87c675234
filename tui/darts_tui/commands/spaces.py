"""`darts-tui spaces`: the search spaces, the operations of their edges, and their sizes."""

import textwrap
from typing import Any

from darts_engine.run import extensions
from darts_engine.run.architecture.spaces import TEXT, spec_of
from darts_engine.run.settings import catalog
from darts_engine.run.settings.catalog import SPACES, entry
from darts_engine.run.settings.config import settings
from darts_tui.console.console import print_error


def describe(name: str) -> dict[str, Any]:
    """A space as `spaces --json` prints it, at its published size.

    Raises:
        NotFoundError: there is no such space.
    """
    about = _about(name)
    spec = spec_of(name)
    if spec is None:
        return {"name": name, "about": about}
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
        "reads": spec.reads,
        "settings": dict(spec.settings),
    }


def names() -> list[str]:
    """All spaces; those of packages that cannot be used are printed as errors."""
    for why in extensions.refused(extensions.SPACES, SPACES):
        print_error(why)
    return catalog.names(SPACES)


def _about(name: str) -> str:
    """One line about a space, built in or added."""
    return (SPACES.get(name) or entry("space", SPACES, name)).summary


def list_text() -> str:
    """One line for each space."""
    found = names()
    wide = max(map(len, found))
    lines = [f"{name:<{wide}}  {_about(name)}" for name in found]
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
    network = f"C={found['channels']}, {found['layers']} cells, 10 classes"
    sizes = (
        "--channels, --layers and --nodes set"
        if found["has_free_nodes"]
        else ("--channels and --layers set")
    )
    if found["reads"] == TEXT:
        network = f"{found['channels']} wide, 10,000 tokens"
        sizes = "--width, --vocabulary and --nodes set"
    return (
        f"{found['name']}: {found['about']}\n{found['paper']}\n\n"
        f"cells       {_cells(found)}\n"
        f"candidates  {', '.join(found['candidates'])} ({which})\n"
        f"supernet    {network}: {weights}{found['alphas']} alphas\n{_begins(found['settings'])}\n"
        f"{sizes} another size."
    )


def _begins(brought: dict[str, Any]) -> str:
    """The options that a search in the space begins with; a line ends only between two of them."""
    if not brought:
        return ""
    options = {setting.key: setting.option_name for setting in settings("search")}
    words = ", ".join(f"{options[key]}\xa0{value}" for key, value in brought.items())
    lines = textwrap.wrap(words, 84, break_on_hyphens=False)
    return f"begins with {(chr(10) + ' ' * 12).join(lines)}\n".replace("\xa0", " ")


def _cells(found: dict[str, Any]) -> str:
    """The structure of a cell."""
    if found["parents"]:
        *nodes, output = found["parents"]
        return (
            f"one type, one input; {found['nodes']} nodes take "
            f"{', '.join(map(str, nodes))} of the states before them, the output {output}"
        )
    if found["reads"] == TEXT:
        return (
            f"one type on a chain; {found['nodes']} nodes and {found['edges']} edges, each node "
            "keeps one, the mean of the nodes is the output"
        )
    if found["inputs"] == 1:
        return (
            f"one type, one input; {found['nodes']} nodes and {found['edges']} edges, the last "
            "node is the output"
        )
    return f"{', '.join(found['cells'])}; {found['nodes']} nodes and {found['edges']} edges in each"
