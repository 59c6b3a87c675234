"""Watchers that stand still, and one that floods the engine with commands, beside none at all.

What counts is the engine's own processor time from one step to the next. The three conditions take
turns in one run, so that whatever else the machine does meets them all alike.
"""

import contextlib
import functools
import signal
import statistics
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

from effort import times
from engine_kit import Engine, events_in, make_run, of_type, until

from darts_engine.run import events
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder

ROUNDS, STEPS = times(2, full=5), times(40, full=200)
# The bars are 1.02 for the middle and 1.10 for the slowest of a hundred. Fewer steps say less.
MIDDLE, SLOWEST = times(120, full=110) / 100, times(200, full=150) / 100

WATCHER = """
import sys, time
from pathlib import Path
from darts_engine.run.folder import RunFolder
from darts_engine.run.liveness import Pulse, observe
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold_all
run, state = RunFolder(Path(sys.argv[1])), RunState()
reader, pulse = LogReader(run.events), Pulse(run)
while True:
    fold_all(reader.read(), state)
    observe(run, state, pulse)
    print("watching", flush=True)
    time.sleep(0.05)
"""
FLOOD = """
import os, sys, time
target = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
while True:
    os.write(target, b'{"type":"resume","id":"a"}\\n' * 1000 + b"garbage\\n" * 1000)
    time.sleep(0.005)
"""


def note_every_step(path: Path) -> None:
    """For `prepare`: write the processor time of the engine's thread at each boundary."""
    import time

    from darts_engine.runner.session import Session

    boundary, noted = Session.boundary, path.open("ab", buffering=0)

    def note(self: Session, *arguments: object) -> None:
        noted.write(struct.pack("d", time.thread_time()))
        boundary(self, *arguments)  # type: ignore[arg-type]

    Session.boundary = note  # type: ignore[method-assign]


@contextlib.contextmanager
def nobody(_run: RunFolder) -> Iterator[None]:
    yield


@contextlib.contextmanager
def frozen(run: RunFolder) -> Iterator[None]:
    """Three watchers that were stopped while they watched."""
    command = [sys.executable, "-c", WATCHER, str(run.path)]
    watchers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for watcher in watchers:
            assert watcher.stdout is not None
            assert watcher.stdout.readline()
            watcher.send_signal(signal.SIGSTOP)
        yield
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.communicate(timeout=10)


@contextlib.contextmanager
def flooding(run: RunFolder) -> Iterator[None]:
    """A program that writes thousands of lines a step into the file of commands."""
    with subprocess.Popen([sys.executable, "-c", FLOOD, str(run.commands)]) as flood:
        try:
            before = run.size_of(run.commands)
            until(lambda: run.size_of(run.commands) > before)
            yield
        finally:
            flood.kill()


@pytest.mark.slow
def test_neither_frozen_nor_flooding_watchers_cost_the_engine_anything(
    runs: Path, tmp_path: Path, start: Callable[..., Engine]
) -> None:
    noted = tmp_path / "steps"
    run = make_run(runs, "watched", search__epochs=5000, checkpoint__checkpoint_every=1000)
    engine = start(run, functools.partial(note_every_step, noted))

    def steps() -> int:
        return noted.stat().st_size // 8 if noted.exists() else 0

    until(lambda: steps() > 20)
    spans: dict[str, list[range]] = {"nobody": [], "frozen": [], "flooding": []}
    for _ in range(ROUNDS):
        for condition in (nobody, frozen, flooding):
            with condition(run):
                first = steps() + 1
                until(lambda first=first: steps() > first + STEPS, timeout=600.0)
            spans[condition.__name__].append(range(first, first + STEPS))
    engine.send_signal(signal.SIGTERM)
    assert engine.wait() == ExitCode.TERMINATED
    told = [why.reason for why in of_type(events_in(run), events.CommandRejected)]
    assert any("flood" in reason for reason in told)

    at = struct.unpack(f"{steps()}d", noted.read_bytes()[: 8 * steps()])
    costs = {
        name: sorted(at[n + 1] - at[n] for span in found for n in span)
        for name, found in spans.items()
    }
    quiet = costs.pop("nobody")
    for name, cost in costs.items():
        middle = statistics.median(cost) / statistics.median(quiet)
        slowest = cost[len(cost) * 99 // 100] / quiet[len(quiet) * 99 // 100]
        print(f"{name}: middle {middle:.3f}, slowest of a hundred {slowest:.3f}")
        assert middle < MIDDLE
        assert slowest < SLOWEST
