import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from engine_kit import FAKE_ENGINE, Engine, make_run
from forked_programs import fork_programs

from darts_engine.run.folder import RunFolder
from darts_tui.cli import main
from darts_tui.launch import engine_process


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def error_lines(self) -> list[str]:
        return self.err.splitlines()


Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child programs are forked: none of them imports torch or matplotlib again."""
    fork_programs(monkeypatch)


@pytest.fixture
def darts(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """Run a command line in this process, in an empty folder, on the runs folder."""
    monkeypatch.setenv("DARTS_TUI_RUNS", str(runs))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main.run([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Choose how the stand-in for the engine behaves."""

    def choose(behaviour: str) -> None:
        monkeypatch.setattr(engine_process, "ENGINE", (sys.executable, str(FAKE_ENGINE), behaviour))

    return choose


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for something to come true."""

    def wait(holds: Callable[[], object], seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> RunFolder:
    """A finished training of three epochs, all of whose checkpoints are kept."""
    runs = tmp_path_factory.mktemp("trained")
    folder = make_run(runs, "trained", "train", train__epochs=3, checkpoint__keep=9)
    assert Engine(folder).wait() == 0
    return folder
