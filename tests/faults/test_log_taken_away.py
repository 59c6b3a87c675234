"""The event log removed, replaced, cut or edited while its engine writes it."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from fake_story import made_up_events

from darts_engine.run import events, log_repair
from darts_engine.run.events import AnyEvent
from darts_engine.run.log import EventLog, LogReader
from darts_engine.run.log_repair import seq_of
from darts_engine.run.state import RunState, fold_all

STORY = made_up_events(epochs_done=5, epochs=5, steps=6, phase="finished")
# The log is taken away here, and the engine notices a few events later.
TAKEN, NOTICED = len(STORY) // 2, len(STORY) // 2 + 5


class Scene:
    """A log in the middle of a story, and a reader that has followed it so far."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"
        clock = iter(event.t for event in [*STORY[:NOTICED], STORY[NOTICED], *STORY[NOTICED:]])
        self.log = EventLog(self.path, folder / "events.torn", clock=lambda: next(clock))
        self.reader, self.state = LogReader(self.path), RunState()
        self.write(STORY[:TAKEN])

    def write(self, story: list[AnyEvent]) -> None:
        for event in story:
            assert self.log.append(event)
        self.follow()

    def follow(self) -> None:
        fold_all(self.reader.read(), self.state)

    def notice(self) -> str:
        """What happens at a boundary."""
        said = self.log.mend()
        if said:
            self.log.append(events.LogWritten(level="warning", message=said))
        self.follow()
        return said


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.log.close()


def swap(path: Path, content: bytes) -> None:
    """Put another file in the place of one, as `sed -i` and most editors do."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


def rotate(path: Path) -> None:
    path.rename(path.with_name("events.jsonl.1"))
    path.touch(mode=0o600)


# Nothing that was written is lost with these.
TAKEN_AWAY: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "moved": lambda path: path.rename(path.with_name("events.old")),
    "rotated": rotate,
    "copied": lambda path: swap(path, path.read_bytes()),
    "copied in the middle of a line": lambda path: swap(path, path.read_bytes()[:-20]),
    "copied long ago": lambda path: swap(path, path.read_bytes()[:5000]),
    "replaced by noise": lambda path: swap(path, b"\xff\xfe noise"),
}


def whole(scene: Scene) -> RunState:
    """What a reader that comes now makes of the log."""
    return fold_all(LogReader(scene.path).read(1 << 30))


@pytest.mark.parametrize("how", TAKEN_AWAY)
def test_a_log_that_was_taken_away_is_whole_again_at_the_next_boundary(
    scene: Scene, how: str
) -> None:
    TAKEN_AWAY[how](scene.path)
    scene.write(STORY[TAKEN:NOTICED])
    said = scene.notice()
    assert said.startswith("the event log was re")
    assert "missing were written again" in said
    scene.write(STORY[NOTICED:])
    lines = scene.path.read_bytes().splitlines()
    seqs = [seq for line in lines if (seq := seq_of(line))]
    assert seqs == list(range(1, len(STORY) + 2))
    assert scene.log.last_seq == len(STORY) + 1
    state = whole(scene)
    assert (state.phase, len(state.epochs), state.total_epochs) == ("finished", 5, 5)
    assert vars(scene.state) == vars(state)
    assert [n.message for n in state.notes if isinstance(n, events.LogWritten)][-1] == said
    assert scene.path.stat().st_mode & 0o777 == 0o600 or "copied" in how or "noise" in how
    assert scene.notice() == ""


CUT: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: os.truncate(path, 0),
    "cut in the middle of a line": lambda path: os.truncate(path, 3000),
    "written over": lambda path: path.write_bytes(path.read_bytes()[:4000]),
}


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("how", CUT)
def test_a_log_that_was_cut_still_tells_where_the_run_is(
    scene: Scene, how: str, later: bool
) -> None:
    CUT[how](scene.path)
    if later:
        for event in STORY[TAKEN:NOTICED]:
            scene.log.append(event)
    said = scene.notice()
    assert said.startswith("the event log was cut or rewritten by another program: events are lost")
    if not later:
        scene.write(STORY[TAKEN:NOTICED])
    scene.write(STORY[NOTICED:])
    # Half a line and the next event may have been joined.
    numbers = [seq for line in scene.path.read_bytes().splitlines() if (seq := seq_of(line))]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == len(STORY) + 1
    state, full = whole(scene), fold_all(STORY)
    assert state.phase == "finished"
    assert state.started is not None
    for part in ("epochs", "genotypes", "health", "alerts"):
        told = [msgspec.structs.replace(e, seq=0, t=0.0) for e in getattr(state, part)]
        true = [msgspec.structs.replace(e, seq=0, t=0.0) for e in getattr(full, part)]
        if part == "genotypes":
            told, true = ([g.genotype for g in x if g.step == 6] for x in (told, true))
        assert told == true, part
    assert state.alpha is not None
    # Who was there has seen it all.
    assert len(scene.state.train_loss) == len(full.train_loss)
    assert len(scene.state.epochs) == 5
    assert scene.state.notes[-1] == state.notes[-1]
    assert scene.notice() == ""


@pytest.mark.parametrize("place", ["another file", "the same file"])
def test_what_a_person_took_out_stays_out(scene: Scene, place: str) -> None:
    lines = scene.path.read_bytes().splitlines(keepends=True)
    taken = next(n for n, e in enumerate(STORY) if isinstance(e, events.SystemMeasured))
    kept = b"".join(lines[:taken] + lines[taken + 1 :])
    if place == "another file":
        swap(scene.path, kept)
    else:
        scene.path.write_bytes(kept)
    assert scene.notice()
    there = [seq_of(line) for line in scene.path.read_bytes().splitlines()]
    assert there == [n for n in range(1, TAKEN + 2) if n != taken + 1]


def test_lines_that_another_program_added_are_kept_and_no_line_is_joined_to_them(
    scene: Scene,
) -> None:
    with scene.path.open("ab") as file:
        file.write(b"mine\nhalf")
    assert "no event that matters is missing" in scene.notice()
    scene.write(STORY[TAKEN:NOTICED])
    assert scene.path.read_bytes().count(b"mine\n") == 1
    assert scene.path.with_name("events.torn").read_bytes() == b"half\n"
    assert scene.reader.damaged == 1
    assert scene.state.last_seq == NOTICED + 1


def test_what_is_no_file_is_not_written_into_and_mended_when_it_has_gone(scene: Scene) -> None:
    scene.path.unlink()
    scene.path.mkdir()
    assert "cannot be mended: events.jsonl is a folder" in scene.log.mend()
    assert scene.log.is_adrift
    assert scene.log.mend() == ""
    for event in STORY[TAKEN:NOTICED]:
        scene.log.append(event)
    scene.path.rmdir()
    said = scene.notice()
    assert "was removed by another program" in said
    assert not scene.log.is_adrift
    assert [seq_of(line) for line in scene.path.read_bytes().splitlines()] == list(
        range(1, NOTICED + 2)
    )


def test_a_disk_too_full_for_all_of_it_takes_the_essentials(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.path.unlink()

    def full(source: int, size: int, target: int, after: int = 0) -> int:
        os.write(target, b"some of it")
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(log_repair, "copy_lines", full)
    assert "most events from 1 to" in scene.notice()
    state = whole(scene)
    assert state.started is not None
    assert len(state.epochs) == len(scene.state.epochs) > 0
    assert LogReader(scene.path).read()[0].seq == state.started.seq


def test_a_disk_on_which_nothing_can_be_written_changes_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(scene.path, 1000)
    before = [path.name for path in scene.path.parent.iterdir()]

    def full(descriptor: int, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(log_repair, "write_whole", full)
        assert "cannot be mended" in scene.log.mend()
        assert scene.log.mend() == ""
    assert {path.name for path in scene.path.parent.iterdir()} <= {*before, "events.torn"}
    assert "events are lost" in scene.notice()
    assert len(whole(scene).epochs) == len(scene.state.epochs)


def test_a_full_disk_and_an_emptied_log_leave_no_hole(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(scene.path, 0)

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert not scene.log.append(STORY[TAKEN])
    assert scene.path.read_bytes() == b""


def test_numbers_go_on_behind_those_of_a_file_from_elsewhere(scene: Scene) -> None:
    swap(scene.path, events.encode(msgspec.structs.replace(STORY[0], seq=10_000)))
    assert scene.notice()
    scene.write(STORY[TAKEN:NOTICED])
    numbers = [seq_of(line) for line in scene.path.read_bytes().splitlines()]
    assert numbers == list(range(10_000, 10_002 + NOTICED - TAKEN))


def test_what_was_said_of_one_mishap_survives_the_next(scene: Scene) -> None:
    for _ in range(2):
        os.truncate(scene.path, 0)
        scene.notice()
    said = [note.seq for note in whole(scene).notes if isinstance(note, events.LogWritten)]
    assert said[-2:] == [TAKEN + 1, TAKEN + 2]


WEAK: dict[str, tuple[str, Callable[[os.stat_result], list[object]]]] = {
    "numbers that change": ("st_ino", lambda status: [next(NUMBERS)]),
    "sizes of some time ago": ("st_size", lambda status: [status.st_size // 2]),
}
NUMBERS = iter(range(10**9, 10**10))


@pytest.mark.parametrize("weakness", WEAK)
def test_a_weak_disk_is_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weakness: str
) -> None:
    field, value = WEAK[weakness]
    place = {"st_ino": 1, "st_size": 6}[field]

    def weakly(look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def status(*arguments: object, **named: object) -> os.stat_result:
            true = look(*arguments, **named)
            return os.stat_result([*true[:place], *value(true), *true[place + 1 :]])  # type: ignore[arg-type]

        return status

    for name in ("stat", "fstat"):
        monkeypatch.setattr(os, name, weakly(getattr(os, name)))
    log = EventLog(tmp_path / "events.jsonl", tmp_path / "events.torn")
    try:
        for event in STORY[:20]:
            log.append(event)
            assert log.mend() == ""
    finally:
        log.close()
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert [seq_of(line) for line in lines] == list(range(1, 21))


def test_mending_leaves_no_descriptors(scene: Scene) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    scene.path.unlink()
    scene.notice()
    before = count()
    for _ in range(20):
        scene.path.unlink()
        assert scene.log.mend()
        os.truncate(scene.path, 0)
        assert scene.log.mend()
    assert count() == before


def test_another_run_of_the_same_name_is_shown_alone(tmp_path: Path) -> None:
    """A dashboard stays open while the run is deleted and begun anew."""
    path = tmp_path / "events.jsonl"
    runs = []
    for number, id_ in enumerate(("", "a" * 16, "b" * 16)):
        told = made_up_events(epochs_done=3 - number, epochs=5, phase="running")
        story = [msgspec.structs.replace(event, t=event.t + 1e6 * number) for event in told]
        place = next(n for n, e in enumerate(story) if isinstance(e, events.RunStarted))
        story[place] = msgspec.structs.replace(story[place], run=id_)
        runs.append(story)
    reader, state = LogReader(path), RunState()
    for story in runs:
        swap(path, b"".join(map(events.encode, story)))
        fold_all(reader.read(1 << 30), state)
        assert vars(state) == vars(fold_all(story))


def test_a_long_log_is_copied_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_repair, "READ_BYTES", 100)
    source, target = tmp_path / "a", tmp_path / "b"
    content = b"".join(map(events.encode, STORY))
    source.write_bytes(content + b"half a li")
    for after in (0, 1, 7, len(STORY)):
        with source.open("rb") as old, target.open("wb") as new:
            count = log_repair.copy_lines(old.fileno(), source.stat().st_size, new.fileno(), after)
        kept = [events.encode(event) for event in STORY[after:]]
        assert (target.read_bytes(), count) == (b"".join(kept), len(kept))
