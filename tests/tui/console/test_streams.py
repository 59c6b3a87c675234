"""Standard streams that are closed, full, or without a reader."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darts_engine.run.folder import RunFolder
from darts_tui.runs.summary import summary

PROGRAM = (sys.executable, "-P", "-m", "darts_tui")
RUNS = ("runs", "--json", "--runs", "none")


def ended(redirected: str, *arguments: str) -> tuple[int, list[str]]:
    """Run in a shell, with streams redirected. Returns: exit code and stderr's lines."""
    command = ["sh", "-c", f'"$@" {redirected}', "sh", *PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_results_on_a_full_disk_are_an_error_of_three_lines():
    code, said = ended(">/dev/full", *RUNS)
    assert code == 8
    assert said == [
        "the output cannot be written: No space left on device",
        "stdout",
        "send it to a disk with room, and run the command again",
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(RUNS, 0, marks=pytest.mark.slow),
        pytest.param(("doctor",), 0, marks=pytest.mark.slow),
        (("tail", "nosuch"), 5),
    ],
)
def test_closed_streams_change_no_exit_code(arguments, code):
    assert ended("<&- >&- 2>&-", *arguments) == (code, [])


def test_what_stderr_does_not_take_changes_no_exit_code():
    assert ended("2>/dev/full", "tail", "nosuch") == (5, [])


def test_a_reader_that_ends_early_is_no_fault():
    """As `head` does."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = subprocess.run(
            [*PROGRAM, *RUNS], stdout=writes, stderr=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (141, b"")


TINY = ("--epochs", "1", "--layers", "3", "--channels", "2", "--nodes", "1", "--image-size", "4",
        "--batch-size", "256", "--name", "one")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirected", "code", "stderr"),
    [
        # As a job of cron that has no stream at all, and hardly a variable.
        ("<&- >&- 2>&-", 0, {0}),
        (">/dev/full", 8, {5}),
        ("2>/dev/full", 0, {0}),
        # It says that nobody reads, unless `head` was still there for the last line.
        ("| head -n 1", 0, {1, 2}),
    ],
)
def test_a_search_goes_to_its_end_whatever_becomes_of_its_streams(
    tmp_path, redirected, code, stderr
):
    command = f'"$@" {redirected}'
    done = subprocess.run(
        ["/usr/bin/env", "-i", f"PATH={os.environ['PATH']}", "sh", "-c", command, "sh",
         *PROGRAM, "search", "--runs", str(tmp_path), *TINY],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == code
    assert len(done.stderr.splitlines()) in stderr, done.stderr
    assert "Traceback" not in done.stderr
    folder = RunFolder(tmp_path / "one")
    deadline = time.monotonic() + 60
    while summary(folder).phase != "finished":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "Traceback" not in folder.engine_log.read_text()
