"""One process writes, another is killed, readers look on: order and wholeness hold."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darts_engine.run.events import AnyEvent
from darts_engine.run.log import EventLog, LogReader

WRITER = """
import sys
from pathlib import Path
from darts_engine.run import events
from darts_engine.run.log import EventLog

log = EventLog(Path(sys.argv[1]), Path(sys.argv[2]))
for n in range(int(sys.argv[3])):
    log.append(events.LogWritten(level="info", message="x" * (n * 37 % 9000)))
log.close()
"""


def _writer(folder: Path, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(folder / "events.jsonl"), str(folder / "torn")]
    return subprocess.Popen([*command, str(count)])


def test_readers_of_any_pace_see_every_event_once_and_in_order(tmp_path: Path) -> None:
    paces = [500, 20_000, 16 << 20]
    readers = [LogReader(tmp_path / "events.jsonl") for _ in paces]
    seen: list[list[AnyEvent]] = [[] for _ in paces]
    deadline = time.monotonic() + 60
    with _writer(tmp_path, 3000) as writer:
        while time.monotonic() < deadline and any(len(found) < 3000 for found in seen):
            for reader, pace, found in zip(readers, paces, seen, strict=True):
                found.extend(reader.read(pace))
        assert writer.wait(30) == 0
    for reader, found in zip(readers, seen, strict=True):
        assert [event.seq for event in found] == list(range(1, 3001))
        assert (reader.damaged, reader.unknown) == (0, 0)


@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_writers_leave_no_gap_and_no_event_twice(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "events.jsonl"
    reader, found = LogReader(path), []
    for _ in range(kills):
        before, deadline = len(found), time.monotonic() + 60
        with _writer(tmp_path, 10_000_000) as writer:
            while len(found) < before + 50 and time.monotonic() < deadline:
                found += reader.read()
            writer.send_signal(signal.SIGKILL)
    last = EventLog(path, tmp_path / "torn")
    last.close()
    # A fast writer may be several reads ahead.
    while batch := reader.read():
        found += batch
    assert [event.seq for event in found] == list(range(1, last.last_seq + 1))
    assert last.last_seq >= 50 * kills
    assert reader.damaged == 0
