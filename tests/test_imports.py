"""The floors stay apart, proved in fresh interpreters: torch below, the terminal above."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("engine", "tui", "themes")

# Run in a child process, for matplotlib's sake; the dashboard itself must never import it.
DRAWING_CHILD = "darts_tui.export.figures"

# Imports every module below a package, one after the other, and names the first that brings in
# something it must not.
PROBE = """
import importlib, pkgutil, sys

def modules(name, forbidden):
    package = importlib.import_module(name)
    yield name
    for info in pkgutil.walk_packages(package.__path__, name + "."):
        if not info.name.endswith(".__main__") and info.name not in forbidden:
            yield info.name

packages, forbidden = sys.argv[1].split(","), sys.argv[2].split(",")
count = 0
for package in packages:
    for name in modules(package, forbidden):
        importlib.import_module(name)
        count += 1
        loaded = [other for other in forbidden if other in sys.modules]
        assert not loaded, f"importing {name} imports {loaded}"
print(count)
"""


def probe(packages: str, forbidden: str) -> int:
    """How many modules were imported; fails when one brings in what is forbidden."""
    command = [sys.executable, "-W", "error", "-c", PROBE, packages, forbidden]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
    return int(done.stdout)


def test_the_contract_imports_neither_torch_nor_a_terminal() -> None:
    assert probe("darts_engine.run", "torch,torchvision,numpy,textual,rich,typer,click") >= 11


def test_nothing_of_the_terminal_floor_imports_torch_or_numpy() -> None:
    forbidden = f"torch,torchvision,numpy,matplotlib,{DRAWING_CHILD}"
    assert probe("darts_tui,darts_themes", forbidden) >= 2


@pytest.mark.slow
def test_nothing_of_the_engine_imports_a_terminal_library() -> None:
    assert probe("darts_engine", "textual,rich,typer,click,darts_tui,darts_themes") >= 11


@pytest.mark.parametrize("module", ["darts_tui", "darts_tui.cli.main"])
def test_the_launcher_starts_without_the_dashboard(module: str) -> None:
    code = f"import sys, {module}; assert 'textual' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import numpy", "imports ['numpy']"),
        ("import sys; sys.modules['torch'] = sys", "imports ['torch']"),
    ],
)
def test_the_probe_notices_a_forbidden_import(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "guilty").mkdir()
    (tmp_path / "guilty" / "__init__.py").write_text("")
    (tmp_path / "guilty" / "module.py").write_text(code)
    command = [sys.executable, "-c", PROBE, "guilty", "torch,numpy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"importing guilty.module {said}" in done.stderr


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts on a source tree; skips where import-linter is not installed."""
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("needs import-linter")
    sources = os.pathsep.join(str(root / part) for part in PARTS)
    environment = os.environ | {"PYTHONPATH": sources}
    command = [lint, "--no-cache"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def test_the_import_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_room_without_a_floor_breaks_the_contracts(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.npz"))
    (tmp_path / "engine/darts_engine/attic").mkdir()
    (tmp_path / "engine/darts_engine/attic/__init__.py").write_text("")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert "darts_engine.attic" in done.stdout
