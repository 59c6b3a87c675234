"""The witness of the fuzz tests notices what it is there for."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty.odd_files import in_time
from tests.fuzz.harm import harmless

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

HARM: dict[str, Callable[[Path], object]] = {
    "exec": lambda out: exec("x = 1"),
    "eval": lambda out: eval("1 + 1"),
    "a program": lambda out: subprocess.run([sys.executable, "--version"], check=True),
    "os.system": lambda out: os.system("true"),
    "writing": lambda out: (out / "file").write_text("x"),
    "writing by descriptor": lambda out: os.open(out / "file", os.O_CREAT | os.O_WRONLY),
    "deleting": lambda out: (out / "kept").unlink(),
    "renaming": lambda out: (out / "kept").rename("mine"),
    "a way out": lambda out: Path("../outside/file").write_text("x"),
}


@pytest.mark.parametrize("kind", HARM)
def test_harm_is_prevented_and_reported(kind: str, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "kept").touch()
    with pytest.raises((PermissionError, AssertionError), match="harm"), harmless(inside):
        HARM[kind](outside)
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_harm_that_is_caught_by_the_reader_is_reported_all_the_same(tmp_path: Path) -> None:
    def read() -> None:
        with contextlib.suppress(OSError):
            exec("x = 1")

    with pytest.raises(AssertionError, match="exec"), harmless(tmp_path):
        read()


def test_reading_and_writing_inside_is_no_harm(tmp_path: Path) -> None:
    with harmless(tmp_path), in_time("a file"):
        (tmp_path / "a").write_text("x")
        Path("a").rename("b")
        assert Path("b").read_text() == "x"
        assert Path(__file__).read_text()
        Path("b").unlink()
