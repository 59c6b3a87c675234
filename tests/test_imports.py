"""The floors stay apart, proved in fresh interpreters: torch below, the terminal above."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

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


def test_the_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("needs import-linter")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_contracts_name_every_module_of_the_engine() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    package = ROOT / "engine" / "darts_engine"
    modules = {f"darts_engine.{file.stem}" for file in package.glob("*.py")}
    modules |= {f"darts_engine.{file.parent.name}" for file in package.glob("*/__init__.py")}
    modules -= {"darts_engine.__init__", "darts_engine.run"}
    for contract in contracts["contracts"]:
        if contract["source_modules"] in (["darts_tui"], ["darts_engine.run"]):
            named = {name for name in contract["forbidden_modules"] if name in modules}
            assert named in (set(), modules), contract["name"]
