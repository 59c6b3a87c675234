"""The wheel in a fresh environment: nothing of the source tree is needed, and nothing is used."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, which borrows the libraries of the one that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    build = (*pip, "wheel", "--no-deps", "-w", str(folder), str(SOURCE))
    made = subprocess.run(build, capture_output=True, text=True, timeout=100)
    if made.returncode and "hatchling" in made.stderr and not list(folder.glob("*.whl")):
        pytest.skip("the build needs hatchling, and there is no index to get it from")
    assert made.returncode == 0, made.stderr
    (wheel,) = folder.glob("darts_tui-*.whl")
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    install = (*pip, "--python", str(home / "bin/python"), "install", "--no-deps", str(wheel))
    subprocess.run(install, check=True, timeout=100, capture_output=True)
    # A .pth inside a folder that a .pth names is not read: the editable source stays out of it.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def ran(home: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ
    }
    environment |= {"HOME": str(where), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    said = subprocess.run(
        [str(home / "bin" / arguments[0]), *arguments[1:]],
        capture_output=True,
        text=True,
        cwd=where,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=90,
    )
    assert said.returncode == 0, said.stderr
    return said


def test_the_wheel_holds_all_that_is_needed(installed: Path, tmp_path: Path):
    look = "import darts_tui, darts_engine, darts_themes, torch\n"
    look += "for m in (darts_tui, darts_engine, darts_themes): print(m.__file__)"
    places = ran(installed, tmp_path, "python", "-P", "-c", look).stdout.splitlines()
    assert len(places) == 3
    assert all(Path(place).is_relative_to(installed) for place in places)

    assert "differentiable" in ran(installed, tmp_path, "darts-tui", "--help").stdout
    shown = json.loads(ran(installed, tmp_path, "darts-tui", "show", "DARTS_V2", "--json").stdout)
    assert shown["parameters"] == 3_349_342
    doctor = json.loads(ran(installed, tmp_path, "darts-tui", "doctor", "--json").stdout)
    assert not [finding for finding in doctor if finding["level"] == "problem"]


def test_a_search_runs_from_any_folder(installed: Path, tmp_path: Path):
    size = ("--channels", "2", "--nodes", "2", "--layers", "3", "--threads", "1")
    batch = ("--batch-size", "256", "--epochs", "1", "--name", "first")
    said = ran(installed, tmp_path, "darts-tui", "search", *size, *batch)
    assert "Genotype(" in said.stdout
    log = (tmp_path / "runs" / "first" / "events.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["type"] == "run_finished"
    exported = ran(installed, tmp_path, "darts-tui", "export", "first", "--format", "svg,pdf,dot")
    files = [Path(line) for line in exported.stdout.splitlines()]
    assert {file.suffix for file in files} == {".svg", ".pdf", ".dot"}
    assert all(file.stat().st_size for file in files)
