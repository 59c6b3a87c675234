"""Measure the source tree: `python tests/kits/measure.py [ROOT]` prints one row of a table.

Files, lines, the largest file, lines of a function on average, functions with a return type, public
functions, classes and modules with a docstring, lines of tests by lines of source, modules that
import one another in a circle, files of the fullest folder, import arrows between rooms.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PARTS = ("engine", "tui", "themes")
HEADINGS = (
    "files", "lines", "largest", "mean function", "return types", "docstrings", "tests/source",
    "modules in circles", "fullest folder", "arrows between rooms",
)  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """A source file: its dotted name, its text and what it is made of."""

    name: str
    path: Path
    text: str
    tree: ast.Module


def modules(root: Path) -> dict[str, Module]:
    """All modules of the sources, by dotted name."""
    found = {}
    for part in PARTS:
        for path in sorted((root / part).rglob("*.py")):
            dotted = ".".join(path.relative_to(root / part).with_suffix("").parts)
            name = dotted.removesuffix(".__init__")
            text = path.read_text("utf-8")
            found[name] = Module(name, path, text, ast.parse(text))
    return found


def imports(module: Module, known: dict[str, Module]) -> set[str]:
    """The modules of the sources that a module imports, also inside its functions."""
    named = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                named.add(longer if longer in known else node.module)
    return {name for name in named if name in known and name != module.name}


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that reach one another."""
    reach = {name: _reached(name, arrows) for name in arrows}
    groups = []
    left = set(arrows)
    while left:
        name = left.pop()
        group = {other for other in reach[name] if name in reach.get(other, set())} | {name}
        left -= group
        if len(group) > 1:
            groups.append(group)
    return groups


def _reached(name: str, arrows: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(arrows[name])
    while waiting:
        if (other := waiting.pop()) not in seen:
            seen.add(other)
            waiting += arrows.get(other, set())
    return seen


def room(name: str) -> str:
    """The package and the room of a module: the first two parts of its name."""
    return ".".join(name.split(".")[:2])


def functions(module: Module) -> Iterator[Function]:
    """All functions and methods of a module."""
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def is_public(node: ast.AST) -> bool:
    """Whether a definition is for others."""
    return not getattr(node, "name", "").startswith("_")


def share(true_of: list[bool]) -> str:
    """How many of a list are true, in percent."""
    return f"{100 * sum(true_of) / max(1, len(true_of)):.0f} %"


def measure(root: Path) -> list[str]:
    """The row of the table, in the order of the headings."""
    found = modules(root)
    lengths = {module.name: module.text.count("\n") for module in found.values()}
    every = [function for module in found.values() for function in functions(module)]
    documented = [
        ast.get_docstring(node) is not None
        for module in found.values()
        for node in ast.walk(module.tree)
        if isinstance(node, Function | ast.ClassDef | ast.Module) and is_public(node)
    ]
    tests = sum(path.read_text("utf-8").count("\n") for path in (root / "tests").rglob("*.py"))
    arrows = {name: imports(module, found) for name, module in found.items()}
    between = {(room(a), room(b)) for a, bs in arrows.items() for b in bs if room(a) != room(b)}
    folders = [module.path.parent for module in found.values()]
    return [
        str(len(found)),
        str(sum(lengths.values())),
        str(max(lengths.values())),
        f"{sum((f.end_lineno or f.lineno) - f.lineno + 1 for f in every) / len(every):.1f}",
        share([function.returns is not None for function in every]),
        share(documented),
        f"{tests / sum(lengths.values()):.2f}",
        str(sum(len(group) for group in circles(arrows))),
        str(max(folders.count(folder) for folder in set(folders))),
        str(len(between)),
    ]


def main() -> None:
    """Print the table."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + "---|" * len(HEADINGS))
    print("| " + " | ".join(measure(root)) + " |")


if __name__ == "__main__":
    main()
