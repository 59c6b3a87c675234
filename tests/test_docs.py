"""What the documentation shows is what happens."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIBRARY = Path(__file__).parents[1] / "docs" / "library.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def as_program(page: str) -> str:
    """The page's blocks, each at its own line numbers, so that a traceback names the page's."""
    program, at = [], 0
    for block in BLOCK.finditer(page):
        start = page.count("\n", 0, block.start(1))
        program.append("\n" * (start - at) + block[1])
        at = start + block[1].count("\n")
    return "".join(program)


@pytest.mark.slow
def test_every_block_of_the_library_page_runs_in_order(tmp_path: Path) -> None:
    program = tmp_path / "library.py"
    program.write_text(as_program(LIBRARY.read_text("utf-8")), "utf-8")
    command = [sys.executable, "-P", "-W", "error", str(program)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("Genotype(normal=[(") == 2


def test_a_block_keeps_the_line_numbers_of_its_page() -> None:
    page = "# a\n\n```python\none\ntwo\n```\n\ntext\n```sh\nno\n```\n```python\nthree\n```\n"
    lines = as_program(page).splitlines()
    assert {line: number for number, line in enumerate(lines, 1) if line} == {
        "one": 4,
        "two": 5,
        "three": 13,
    }


def test_the_readme_names_every_command_and_page() -> None:
    from typer.main import get_command

    from darts_tui.cli.main import app

    readme = (LIBRARY.parents[1] / "README.md").read_text("utf-8")
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    shown = [name for name, command in commands.items() if not command.hidden]
    assert [name for name in shown if f"`{name}" not in readme] == []
    pages = [page.name for page in LIBRARY.parent.glob("*.md")]
    assert [page for page in pages if f"docs/{page}" not in readme] == []


def test_every_file_that_the_architecture_page_names_exists() -> None:
    root = LIBRARY.parents[1]
    page = (root / "docs" / "architecture.md").read_text("utf-8")
    bases = [root, root / "engine/darts_engine", root / "tui/darts_tui"]
    bases += [folder for base in bases[1:] for folder in base.iterdir() if folder.is_dir()]
    named = re.findall(r"`([a-z_0-9./]+(?:\.py|/))`", page)
    assert len(named) > 50
    missing = [name for name in named if not any((base / name).exists() for base in bases)]
    assert missing == []


def test_every_test_that_the_reliability_page_names_exists_and_every_fault_is_there() -> None:
    root = LIBRARY.parents[1]
    page = (root / "docs" / "reliability.md").read_text("utf-8")
    named = set(re.findall(r"`(tests/[a-z_0-9./]+)`", page))
    assert len(named) > 20
    assert [name for name in named if not (root / name).exists()] == []
    kept = {str(path.relative_to(root)) for path in (root / "tests" / "faults").glob("test_*.py")}
    assert kept - named == set()
