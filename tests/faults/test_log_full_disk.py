"""The event log on a full disk: the run goes on, and the loss is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from darts_engine.run import events
from darts_engine.run.log import EventLog, LogReader
from darts_engine.run.private_files import PrivateFolder

# In a process of its own: the limit would bind the test's reports too.
LIMITED = """
import resource, sys
from pathlib import Path
from darts_engine.run import events
from darts_engine.run.log import EventLog

def note(text):
    return events.LogWritten(level="info", message=text)

log = EventLog(Path(sys.argv[1]), Path(sys.argv[2]), clock=lambda: 1.0)
assert all(log.append(note("before")) for _ in range(5))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
# Room for half a line: the first write is cut short, the next one fails.
resource.setrlimit(resource.RLIMIT_FSIZE, (log.size_bytes() + 40, hard))
assert not any(log.append(note("lost")) for _ in range(7))
assert log.dropped == 7
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert log.append(note("after"))
assert log.dropped == 0
log.close()
"""


def test_what_a_full_disk_swallowed_is_counted_and_told_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    command = [sys.executable, "-c", LIMITED, str(path), str(tmp_path / "torn")]
    subprocess.run(command, check=True, timeout=60)
    reader = LogReader(path)
    found = reader.read()
    assert reader.damaged == 0
    assert [event.seq for event in found] == list(range(1, 8))
    reported, after = found[5:]
    assert isinstance(reported, events.EventsDropped)
    assert reported.count == 7
    assert isinstance(after, events.LogWritten)
    assert after.message == "after"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_can_never_be_written_never_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(PrivateFolder, "open_to_append", lambda *_, **__: full)
    log = EventLog(tmp_path / "events.jsonl", tmp_path / "torn")
    for _ in range(3):
        assert not log.append(events.LogWritten(level="info", message="x" * 10_000))
    assert (log.dropped, log.last_seq, log.size_bytes()) == (3, 0, 0)
    log.sync()
    log.close()


def test_odd_text_never_costs_an_event(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", tmp_path / "torn")
    assert log.append(events.LogWritten(level="error", message="no file '\udcff\n\x1b[2J\0'"))
    log.close()
    (found,) = LogReader(tmp_path / "events.jsonl").read()
    assert isinstance(found, events.LogWritten)
    assert found.message == "no file '?\n\x1b[2J\0'"
