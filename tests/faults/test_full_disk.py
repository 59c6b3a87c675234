"""A disk that fills up under a run, for real: the run waits, and ends as if nothing had been."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_kit import events_in, make_run, of_type, outcome, state_of, until

from darts_engine.run import events
from darts_engine.run.folder import RunFolder

SCRIPT = """
mount -t tmpfs -o size=4m tmpfs "$1" && echo mounted
read go && "$2" -m darts_engine "$3"
echo "ended $?"
read end
"""


class TinyDisk:
    """4 MB in a name space of its own, seen from outside through /proc; lives as long as its shell.

    Attributes:
        path: where the disk is, as seen from outside.
    """

    def __init__(self, inside: Path) -> None:
        self._shell = subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c", SCRIPT, "sh", inside, sys.executable, inside / "run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.is_mounted = self._answer() == "mounted"
        self.path = Path(f"/proc/{self._shell.pid}/root{inside}")

    def start_engine(self) -> RunFolder:
        assert self._shell.stdin is not None
        self._shell.stdin.write("go\n")
        self._shell.stdin.flush()
        return RunFolder(self.path / "run")

    def engine_exit(self) -> int:
        return int(self._answer().removeprefix("ended "))

    def _answer(self) -> str:
        assert self._shell.stdout is not None
        return self._shell.stdout.readline().strip()

    def close(self) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate(timeout=10)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    inside = tmp_path / "disk"
    inside.mkdir()
    disk = TinyDisk(inside)
    try:
        if not disk.is_mounted:
            pytest.skip("needs name spaces of one's own (unshare -Urm)")
        yield disk
    finally:
        disk.close()


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.slow
def test_a_run_on_a_full_disk_waits_for_room_and_ends_as_if_nothing_had_been(
    disk: TinyDisk, runs: Path
) -> None:
    plain = make_run(runs, "plain", search__epochs=3)
    shutil.copytree(plain.path, disk.path / "run")
    engine = [sys.executable, "-m", "darts_engine", str(plain.path)]
    subprocess.run(engine, check=True, timeout=60)

    run = disk.start_engine()
    until(lambda: of_type(events_in(run), events.StepFinished))
    ballast = disk.path / "ballast"
    fill(ballast)
    # A few pages for words, far too little for a checkpoint.
    os.truncate(ballast, ballast.stat().st_size - 32_768)
    until(lambda: state_of(run).phase in ("paused", "finished"))
    state = state_of(run)
    assert state.phase == "paused"
    paused = of_type(events_in(run), events.RunPaused)[-1]
    assert "disk full: no room for a checkpoint of" in paused.reason
    beat = run.engine.stat().st_mtime_ns
    until(lambda: run.engine.stat().st_mtime_ns > beat)
    assert state_of(run).phase == "paused"

    ballast.unlink()
    assert disk.engine_exit() == 0
    assert state_of(run).phase == "finished"
    assert outcome(run) == outcome(plain)
