"""Standard streams that are closed, full, or without a reader."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
