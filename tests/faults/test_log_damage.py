"""The event log under torn writes, noise, replaced files and impatient readers."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from fake_story import made_up_events

from darts_engine.run import events, log_repair
from darts_engine.run.errors import UnsafeFileError
from darts_engine.run.events import AnyEvent
from darts_engine.run.log import MAX_LINE_BYTES, EventLog, LogReader

STORY = made_up_events(kind="train", epochs_done=5, epochs=8, steps=8, phase="stopped")[:60]
LINES = [events.encode(event) for event in STORY]
WHOLE = b"".join(LINES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of logs are opened; what a power loss does is not the question here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def note(text: str = "") -> events.LogWritten:
    return events.LogWritten(level="info", message=text)


def seqs(found: list[AnyEvent]) -> list[int]:
    return [event.seq for event in found]


def test_the_story_is_sixty_events_with_everything_in_it() -> None:
    assert len(STORY) == 60
    assert LogReader(Path("missing")).read() == []


def _cuts(stride: int = 1) -> Iterator[tuple[int, int]]:
    """Byte offsets, the last first, with the number of lines that are whole there."""
    whole, ends = len(LINES), [0]
    for line in LINES:
        ends.append(ends[-1] + len(line))
    for cut in range(len(WHOLE), -1, -stride):
        while ends[whole] > cut:
            whole -= 1
        yield cut, whole


def test_a_reader_yields_the_longest_whole_prefix_at_every_cut(path: Path) -> None:
    path.write_bytes(WHOLE)
    for cut, whole in _cuts():
        os.truncate(path, cut)
        reader = LogReader(path)
        found = reader.read()
        assert len(found) == whole
        assert found[-1:] == STORY[:whole][-1:]
        assert reader.damaged == reader.unknown == 0
        assert reader.is_behind() == (cut > reader.offset)


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_restarted_log_goes_on_at_every_cut(path: Path, stride: int) -> None:
    torn = path.with_name("events.torn")
    for cut, whole in _cuts(stride):
        path.write_bytes(WHOLE[:cut])
        torn.unlink(missing_ok=True)
        again = EventLog(path, torn)
        assert again.last_seq == whole
        assert again.append(note("again"))
        again.close()
        written = path.read_bytes()
        kept = b"".join(LINES[:whole])
        assert written.startswith(kept)
        assert log_repair.seq_of(written[len(kept) :]) == whole + 1
        assert written.count(b"\n") == whole + 1
        assert again.repaired_bytes == cut - len(kept)
        moved = torn.read_bytes() if torn.exists() else b""
        assert moved == (WHOLE[len(kept) : cut] + b"\n" if cut > len(kept) else b"")


def test_a_reader_in_the_middle_of_a_tear_sees_the_line_of_the_next_engine(path: Path) -> None:
    path.write_bytes(WHOLE[:-5])
    reader = LogReader(path)
    assert seqs(reader.read()) == list(range(1, 60))
    again = EventLog(path, path.with_name("events.torn"))
    again.append(note())
    assert seqs(reader.read()) == [60]
    assert reader.damaged == 0
    again.close()


DAMAGE = {
    "bit flips": bytes(byte ^ 0x10 for byte in LINES[30][:-1]) + b"\n",
    "NULs": b"\0" * 5000 + b"\n",
    "a long line of noise": b"x" * 3_000_000 + b"\n",
    "no UTF-8": LINES[30][:-3] + b"\xff\xfe\n",
    "no UTF-8 in the type": b'{"type":"\xff","seq":31,"v":1}\n',
    "deep nesting": b'{"seq":31,"x":' + b"[" * 200_000 + b"\n",
    "half a line": LINES[30][:40] + b"\n",
    "no object": b"[1, 2]\n",
    "null": b"null\n",
    "a huge number": b'{"type":"events_dropped","seq":' + b"9" * 5000 + b',"v":1,"count":1}\n',
}
# Their place in the log can be told, so that a restarted log counts on behind them.
WRONG = {
    "no UTF-8 in a string": b'{"type":"log_written","level":"\xff","message":"","seq":31,"v":1}\n',
    "a known type without its fields": b'{"type":"events_dropped","seq":31,"t":1,"v":1}\n',
    "a genotype that cannot be": b'{"type":"run_finished","seq":31,"v":1,"seconds":1,'
    b'"genotype":{"normal":[["a",9]],"normal_concat":[2],"reduce":[],"reduce_concat":[2]}}\n',
}
FOREIGN = {
    "a type of the future": b'{"type":"dream_dreamt","seq":31,"t":1,"v":1}\n',
    "a version of the future": msgspec.json.encode(msgspec.structs.replace(STORY[30], v=99))
    + b"\n",
}
LINES_31 = DAMAGE | WRONG | FOREIGN


@pytest.mark.parametrize("size", [1000, 70_000, 16 << 20])
@pytest.mark.parametrize("name", LINES_31)
def test_a_damaged_line_is_counted_and_the_rest_is_read(path: Path, name: str, size: int) -> None:
    line = LINES_31[name]
    path.write_bytes(b"".join(LINES[:30]) + line + b"".join(LINES[31:]))
    reader = LogReader(path)
    found: list[AnyEvent] = []
    for _ in range(200):
        found += reader.read(size)
        if not reader.is_behind():
            break
    assert seqs(found) == [*range(1, 31), *range(32, 61)]
    assert (reader.damaged, reader.unknown) == ((0, 1) if name in FOREIGN else (1, 0))


@pytest.mark.parametrize("name", LINES_31)
def test_a_restarted_log_counts_on_behind_a_damaged_end(path: Path, name: str) -> None:
    line = LINES_31[name]
    path.write_bytes(b"".join(LINES[:30]) + line)
    again = EventLog(path, path.with_name("events.torn"))
    assert again.last_seq == (30 if name in DAMAGE else 31)
    assert again.append(note())
    again.close()


def test_a_log_of_nothing_but_noise_starts_at_one(path: Path) -> None:
    path.write_bytes(b"noise\n" * 400_000 + b"\0" * 10)
    again = EventLog(path, path.with_name("events.torn"))
    assert (again.last_seq, again.repaired_bytes) == (0, 10)
    again.append(note())
    again.close()
    reader = LogReader(path)
    assert seqs(reader.read()) == [1]
    assert reader.damaged == 400_000


@pytest.mark.parametrize("size", [1, 100, len(LINES[0]), len(LINES[0]) + 1, 5000])
def test_small_reads_lose_nothing_and_always_get_on(path: Path, size: int) -> None:
    path.write_bytes(WHOLE)
    reader, found = LogReader(path), []
    while reader.is_behind():
        new = reader.read(size)
        assert new
        assert sum(len(LINES[event.seq - 1]) for event in new) <= max(size, len(LINES[0]))
        found += new
    assert found == STORY


def test_a_long_line_that_is_an_event_is_read_even_in_small_reads(path: Path) -> None:
    long = events.encode(note("x" * (MAX_LINE_BYTES - 100)))
    assert MAX_LINE_BYTES - 100 < len(long) <= MAX_LINE_BYTES
    path.write_bytes(LINES[0] + long + LINES[1])
    reader = LogReader(path)
    assert len(reader.read(1000) + reader.read(1000) + reader.read(1000)) == 3
    assert reader.damaged == 0


def test_a_replaced_or_cut_log_is_read_from_its_start_but_for_what_is_known(path: Path) -> None:
    path.write_bytes(WHOLE)
    reader, late = LogReader(path), LogReader(path, offset=len(WHOLE))
    assert len(reader.read()) == 60
    assert late.read() == []
    other = path.with_name("other")
    # Another run, or one that goes on from a checkpoint, counts from a smaller number.
    for known, new, t in ((WHOLE, 61, 2e9), (LINES[0], 1, 3e9)):
        other.write_bytes(known + events.encode(msgspec.structs.replace(note(), seq=new, t=t)))
        other.replace(path)
        assert seqs(reader.read(2000)) == seqs(late.read()) == [new]
    os.truncate(path, len(LINES[0]))
    assert reader.read() == []
    path.unlink()
    assert reader.read() == []
    assert not reader.is_behind()


def test_a_large_log_comes_in_bounded_portions(path: Path) -> None:
    path.write_bytes(WHOLE * 300)
    reader, count = LogReader(path), 0
    while portion := reader.read(100_000):
        assert sum(len(LINES[event.seq - 1]) for event in portion) <= 100_000
        count += len(portion)
    assert count == 60 * 300
    assert reader.offset == len(WHOLE) * 300


def test_a_hole_of_a_terabyte_is_skipped_and_the_events_around_it_read(path: Path) -> None:
    path.write_bytes(WHOLE)
    with path.open("ab") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + LINES[0])
    reader, found = LogReader(path), []
    while reader.is_behind():
        before = reader.offset
        found += reader.read()
        assert reader.offset > before
    assert seqs(found) == [*range(1, 61), 1]
    assert reader.damaged == 1


def test_a_log_that_ends_in_a_hole_is_read_up_to_it_and_followed(path: Path) -> None:
    path.write_bytes(WHOLE)
    os.truncate(path, 1 << 40)
    reader = LogReader(path)
    assert seqs(reader.read()) == [*range(1, 61)]
    while reader.is_behind():
        reader.read()
    with path.open("ab") as file:
        file.write(b"\n" + LINES[3])
    assert seqs(reader.read()) == [4]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_engine_refuses_a_log_of_nothing_but_a_hole(path: Path, end: bytes) -> None:
    path.write_bytes(WHOLE)
    os.truncate(path, 1 << 40)
    with path.open("ab") as file:
        file.write(end)
    size = path.stat().st_size
    with pytest.raises(UnsafeFileError, match="hold no event") as refusal:
        EventLog(path, path.with_name("torn"))
    assert refusal.value.remedy
    assert path.stat().st_size == size
    assert not path.with_name("torn").exists()


def test_the_torn_end_is_not_moved_through_a_link(path: Path, tmp_path: Path) -> None:
    path.write_bytes(WHOLE + b"torn")
    precious = tmp_path / "precious"
    precious.write_text("precious")
    path.with_name("torn").symlink_to(precious)
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        EventLog(path, path.with_name("torn"))
    assert precious.read_text() == "precious"
    assert path.read_bytes() == WHOLE + b"torn"
