"""The layout stays readable: no circles of imports, no crowded folder, no file without end."""

import functools
from pathlib import Path

from measure import Module, circles, imports, modules

ROOT = Path(__file__).parents[1]
MOST_FILES, MOST_LINES = 20, 480


@functools.cache
def sources() -> dict[str, Module]:
    """The modules of the project."""
    return modules(ROOT)


def test_no_modules_import_one_another_in_a_circle() -> None:
    found = sources()
    assert circles({name: imports(module, found) for name, module in found.items()}) == []


def test_a_circle_is_found_also_inside_functions(tmp_path: Path) -> None:
    for part in ("engine/a", "tui", "themes"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "engine/a/__init__.py").write_text("")
    (tmp_path / "engine/a/one.py").write_text("from a.two import x\n")
    (tmp_path / "engine/a/two.py").write_text("def x():\n    from a import one\n")
    found = modules(tmp_path)
    (group,) = circles({name: imports(module, found) for name, module in found.items()})
    assert group == {"a.one", "a.two"}


def test_no_folder_is_crowded() -> None:
    folders = [
        path.parent for part in ("engine", "tui", "themes", "tests")
        for path in (ROOT / part).rglob("*.py")
    ]  # fmt: skip
    crowded = {str(f.relative_to(ROOT)) for f in folders if folders.count(f) > MOST_FILES}
    assert crowded == set()


def test_no_file_is_long() -> None:
    lengths = {name: module.text.count("\n") for name, module in sources().items()}
    assert {name: count for name, count in lengths.items() if count > MOST_LINES} == {}
