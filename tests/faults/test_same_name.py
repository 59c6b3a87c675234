"""A run that is deleted under its engine, and another one of the same name in its place."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

torch = pytest.importorskip("torch")

from engine_kit import Engine, events_in, make_run, of_type, until  # noqa: E402

from darts_engine.run import events, run_id  # noqa: E402
from darts_engine.run.errors import BusyError, CheckpointError, NotFoundError  # noqa: E402
from darts_engine.run.folder import RunFolder, create  # noqa: E402
from darts_engine.run.log import EventLog  # noqa: E402
from darts_engine.run.run_id import RunRecord  # noqa: E402
from darts_engine.run.settings.config import Config, SearchConfig, override, to_plain  # noqa: E402
from darts_engine.runner import checkpoint  # noqa: E402
from darts_engine.runner.hold import Hold  # noqa: E402
from darts_engine.runner.inbox import Inbox, Signals  # noqa: E402
from darts_engine.runner.position import Position  # noqa: E402
from darts_engine.runner.session import Session  # noqa: E402
from darts_engine.training import trained  # noqa: E402

CONFIG = SearchConfig()


class Number:
    """The smallest task: a number to save."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = torch.tensor([value])

    def state(self) -> dict[str, object]:
        return {"value": self.value}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        self.value.copy_(state["value"])


class FakeEngine:
    """All that an engine holds of a run, in this process."""

    def __init__(self, run: RunFolder, config: Config = CONFIG) -> None:
        self.run, self.task = run, Number()
        self.hold = Hold(run.path)
        self.log = EventLog(run.events, run.torn_events, within=self.hold.opened)
        inbox = Inbox(self.hold.folder, self.log.append)
        self.session = Session(self.hold, self.log, Signals(), inbox, keep=2, checkpoint_seconds=0)
        self.id = self.hold.enter(self.log.last_seq).id
        self.session.origin = checkpoint.Origin({"kind": "count"}, {}, self.id, to_plain(config))

    def save(self, step: int) -> None:
        self.task.value.fill_(step)
        place = Position(epoch=step, step=1, global_step=step)
        self.session.emit(place.stamp(events.StepFinished))
        self.session.save(self.task, place, reason="epoch")

    def restore(self) -> int:
        """The step that the newest checkpoint is of."""
        position = self.session.restore(self.task)
        assert int(self.task.value) == position.global_step
        return position.global_step

    def close(self) -> None:
        self.log.close()
        self.hold.close()


Start = Callable[..., FakeEngine]


@pytest.fixture
def engine() -> Iterator[Start]:
    """Begins fake engines, and ends those that are left."""
    engines: list[FakeEngine] = []

    def begin(run: RunFolder, config: Config = CONFIG) -> FakeEngine:
        engines.append(FakeEngine(run, config))
        return engines[-1]

    yield begin
    for one in engines:
        if one.hold.opened.descriptor >= 0:
            one.close()


def files_in(run: RunFolder) -> dict[str, tuple[int, bytes]]:
    """Every file of a run, its time and its content."""
    return {
        str(path.relative_to(run.path)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in run.path.rglob("*")
        if path.is_file()
    }


def replaced(run: RunFolder) -> RunFolder:
    """Delete a run and make another of the same name."""
    shutil.rmtree(run.path)
    return create(run.path.parent, run.name, override(CONFIG, {"weights.lr": 0.5}))


WRITES: dict[str, Callable[[FakeEngine], object]] = {
    "boundary": lambda old: old.session.boundary(old.task, Position(epoch=9, global_step=9)),
    "save": lambda old: old.save(9),
    "close": lambda old: old.session.close(),
}


@pytest.mark.parametrize("write", WRITES)
def test_an_engine_leaves_another_run_of_the_same_name_alone(
    runs: Path, engine: Start, write: str
) -> None:
    old = engine(create(runs, "a", CONFIG))
    for step in range(1, 8):
        old.save(step)
    # Here the old engine is in a long phase.
    run = replaced(old.run)
    new = engine(run)
    for step in (1, 2, 3):
        new.save(step)
    before = files_in(run)
    with pytest.raises(NotFoundError, match="the run folder is gone") as refusal:
        WRITES[write](old)
    assert (len(str(refusal.value).splitlines()), refusal.value.exit_code) == (3, 5)
    assert files_in(run) == before
    assert new.id != old.id
    new.session.boundary(new.task, Position(epoch=3, global_step=3))


def test_even_who_does_not_look_reaches_the_old_folder_only(runs: Path, engine: Start) -> None:
    """What is written between the look and the deletion, and by the heartbeat."""
    old = engine(create(runs, "a", CONFIG))
    for step in (1, 2, 3):
        old.save(step)
    moved = old.run.path.rename(runs / "moved")
    run = create(runs, "a", CONFIG)
    new = engine(run)
    new.save(1)
    before, folder = files_in(run), old.hold.folder
    folder.beat()
    folder.write_engine(old.id)
    place = Position(epoch=9, step=1, global_step=9)
    origin = checkpoint.Origin(run=old.id)
    checkpoint.save(folder, old.task.state(), place, reason="epoch", seq=9, origin=origin)
    checkpoint.prune(folder, 1)
    checkpoint.sweep(folder)
    old.session.note("here")
    assert old.log.mend() == ""
    assert files_in(run) == before
    assert [path.name for path in checkpoint.newest_first(RunFolder(moved))] == [
        "step-000000009-seq-9.json"
    ]


def test_checkpoints_of_another_run_are_passed_over_and_kept(runs: Path, engine: Start) -> None:
    donor = engine(create(runs, "donor", CONFIG))
    for step in (7, 8, 9):
        donor.save(step)
    donor.close()
    mine = engine(create(runs, "a", CONFIG))
    mine.save(1)
    mine.save(2)
    mine.close()
    shutil.copytree(donor.run.checkpoints, mine.run.checkpoints, dirs_exist_ok=True)
    foreign = {path.name for path in donor.run.checkpoints.iterdir()}
    again = engine(mine.run)
    assert again.restore() == 2
    said = [n.message for n in of_type(events_in(mine.run), events.LogWritten)]
    assert len(said) == 2
    assert f"the checkpoint is of run {donor.id}, this run is {mine.id}" in said[0]
    (rewound,) = of_type(events_in(mine.run), events.Rewound)
    assert rewound.to_step == 2
    for step in (3, 4, 5, 6):
        again.save(step)
    left = {path.name for path in mine.run.checkpoints.iterdir()}
    assert foreign < left
    assert len(left) == len(foreign) + 4
    again.close()
    assert engine(mine.run).restore() == 6


def test_programs_take_the_runs_own_checkpoints_only(runs: Path, engine: Start) -> None:
    mine, donor = (engine(create(runs, name, CONFIG)) for name in ("a", "donor"))
    donor.save(9)
    mine.save(1)
    shutil.copytree(donor.run.checkpoints, mine.run.checkpoints, dirs_exist_ok=True)
    assert len(checkpoint.newest_first(mine.run)) == 2
    assert trained.read(mine.run, "last")[0].position.global_step == 1
    (own,) = checkpoint.of_this_run(mine.run)
    own.write_bytes(b"{")
    with pytest.raises(CheckpointError, match="damaged"):
        trained.read(mine.run, "last")
    own.unlink()
    with pytest.raises(CheckpointError, match=f"of run {donor.id}, this run is {mine.id}"):
        trained.read(mine.run, "last")


def test_a_run_with_foreign_checkpoints_only_is_refused_not_begun_again(
    runs: Path, engine: Start
) -> None:
    donor = engine(create(runs, "donor", CONFIG))
    donor.save(1)
    mine = engine(create(runs, "a", CONFIG))
    shutil.copytree(donor.run.checkpoints, mine.run.checkpoints, dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match=f"of run {donor.id}") as refusal:
        mine.restore()
    assert (len(str(refusal.value).splitlines()), refusal.value.exit_code) == (3, 4)


def test_a_setting_that_decides_is_not_edited_and_others_are_told(
    runs: Path, engine: Start
) -> None:
    run = create(runs, "a", CONFIG)
    first = engine(run)
    first.save(1)
    first.close()
    hasty = engine(run, override(CONFIG, {"weights.lr": 0.5, "alpha.lr": 0.1}))
    with pytest.raises(CheckpointError) as refusal:
        hasty.restore()
    assert "weights.lr was 0.05 and is 0.5, alpha.lr was 0.03 and is 0.1" in str(refusal.value)
    assert (len(str(refusal.value).splitlines()), refusal.value.exit_code) == (3, 4)
    hasty.close()
    longer = override(CONFIG, {"search.epochs": 30, "checkpoint.keep": 5, "engine.threads": 3})
    assert engine(run, longer).restore() == 1
    said = [(n.level, n.message) for n in of_type(events_in(run), events.LogWritten)][1:]
    assert said == [
        ("warning", "search.epochs was 25 and is 30 in config.toml since the checkpoint"),
        ("info", "checkpoint.keep was 2 and is 5 in config.toml since the checkpoint"),
    ]


def of_version_0_1_0(run: RunFolder, config: Config) -> None:
    """Take from a run what the first version did not write."""
    for path in run.checkpoints.glob("*.json"):
        manifest = checkpoint.read_manifest(path)
        content = path.with_suffix(".pt").read_bytes()
        old = msgspec.structs.replace(manifest, run=msgspec.UNSET, config=msgspec.UNSET)
        old = msgspec.structs.replace(old, sha256=old.digest(content))
        path.write_bytes(msgspec.json.encode(old))
    started = events.RunStarted(
        name="a", kind="search", config=to_plain(config), versions={}, device="cpu", threads=1,
        pid=1, host="h", parameters=1, epochs=1, steps_per_epoch=1, dataset="d", classes=[],
        images={}, image_shape=[],
    )  # fmt: skip
    log = EventLog(run.events, run.torn_events)
    lines = run.events.read_bytes()
    log.close()
    run.events.write_bytes(events.encode(msgspec.structs.replace(started, seq=1)) + lines)
    run.record.unlink()
    record = json.loads(run.engine.read_bytes())
    run.engine.write_bytes(msgspec.json.encode({k: v for k, v in record.items() if k != "run"}))


@pytest.mark.parametrize("lr", [0.05, 0.5])
def test_a_run_of_the_first_version_gets_an_id_and_keeps_its_checkpoints(
    runs: Path, engine: Start, lr: float
) -> None:
    first = engine(create(runs, "a", CONFIG))
    first.save(1)
    first.save(2)
    first.close()
    of_version_0_1_0(first.run, CONFIG)
    config = override(CONFIG, {"weights.lr": lr})
    again = engine(first.run, config)
    record = first.run.read_record()
    assert record is not None
    assert record.id == again.id != first.id
    if lr != CONFIG.weights.lr:
        with pytest.raises(CheckpointError, match=r"weights\.lr was 0\.05 and is 0\.5"):
            again.restore()
        return
    assert again.restore() == 2
    again.close()
    # Before it has saved anything it may be killed: they still are its own.
    third = engine(first.run)
    assert (third.restore(), third.id) == (2, again.id)
    third.save(3)
    newest = checkpoint.read_manifest(checkpoint.newest_first(first.run)[0])
    assert (newest.run, newest.config) == (third.id, to_plain(CONFIG))
    # An engine of the first version that took the run up since would not know the id.
    late = msgspec.structs.replace(newest, run=msgspec.UNSET)
    assert not late.is_of(record)


@pytest.mark.parametrize("lost", [("run.json",), ("run.json", "engine.json")])
def test_a_run_that_lost_its_id_gets_it_back(
    runs: Path, engine: Start, lost: tuple[str, ...]
) -> None:
    first = engine(create(runs, "a", CONFIG))
    first.save(1)
    first.close()
    for name in lost:
        (first.run.path / name).write_bytes(b"{")
    again = engine(first.run)
    assert (again.restore(), again.id) == (1, first.id)


def test_a_run_without_checkpoints_gets_its_id_back_from_its_last_engine(
    runs: Path, engine: Start
) -> None:
    first = engine(create(runs, "a", CONFIG))
    first.close()
    first.run.record.unlink()
    assert engine(first.run).id == first.id


def test_the_id_is_wherever_a_run_tells_of_itself(runs: Path) -> None:
    run = make_run(runs, "whole", search__epochs=1)
    record = run.read_record()
    assert record is not None
    engine = Engine(run)
    try:
        assert engine.wait() == 0
    finally:
        engine.kill()
    written = run.read_engine()
    assert written is not None
    (started,) = of_type(events_in(run), events.RunStarted)
    manifest = checkpoint.read_manifest(checkpoint.newest_first(run)[0])
    assert {written.run, started.run, manifest.run} == {record.id}
    assert manifest.config == started.config
    assert len(record.id) == 16


def test_a_lock_that_was_deleted_is_taken_anew(runs: Path, engine: Start) -> None:
    mine = engine(create(runs, "a", CONFIG))
    mine.run.lock.unlink()
    assert not mine.run.is_locked()
    mine.session.boundary(mine.task, Position())
    assert mine.run.is_locked()
    assert "engine.lock was deleted" in of_type(events_in(mine.run), events.LogWritten)[0].message
    mine.session.boundary(mine.task, Position())
    assert len(of_type(events_in(mine.run), events.LogWritten)) == 1


def test_the_second_of_two_engines_keeps_a_run_whose_lock_was_deleted(
    runs: Path, engine: Start
) -> None:
    first = engine(create(runs, "a", CONFIG))
    first.save(1)
    first.run.lock.unlink()
    second = engine(first.run)
    assert second.restore() == 1
    before = files_in(first.run)
    with pytest.raises(BusyError, match="taken this run over") as refusal:
        first.save(2)
    assert (len(str(refusal.value).splitlines()), first.hold.is_lost) == (3, True)
    second.close()
    # Nor is it the first one's again when the second has gone.
    with pytest.raises(BusyError):
        first.session.boundary(first.task, Position())
    assert [*files_in(first.run)] == [*before]


def test_a_disk_that_numbers_files_anew_at_every_look_keeps_working(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, count = create(runs, "a", CONFIG), iter(range(1, 10**6))
    monkeypatch.setattr("darts_engine.run.private_files._identity", lambda status: (1, next(count)))
    hold = Hold(run.path)
    try:
        assert not hold.check()
        shutil.rmtree(run.path)
        with pytest.raises(NotFoundError):
            hold.check()
    finally:
        hold.close()


def test_a_long_phase_ends_with_the_message_and_the_exit_code(runs: Path) -> None:
    """As a user sees it: a real engine, in a step that takes as long as everything else here."""
    run = make_run(runs, "a", search__epochs=50)
    engine = Engine(run, hold_up_the_second_step)
    gate = runs / "gate"
    try:
        until(lambda: gate.exists() and of_type(events_in(run), events.StepFinished))
        log = run.engine_log.open()
        shutil.rmtree(run.path)
        new = FakeEngine(create(runs, "a", CONFIG))
        for step in (1, 2, 3):
            new.save(step)
        before = files_in(new.run)
        gate.unlink()
        assert engine.wait() == 5
    finally:
        engine.kill()
    with log:
        said = log.read().splitlines()
    assert said[0].startswith("the run folder is gone")
    assert len(said) == 3
    assert files_in(new.run) == before
    assert new.run.is_locked()
    new.close()


def hold_up_the_second_step() -> None:
    """For `prepare`: the second step lasts until the file that it makes is gone."""
    from darts_engine.search.task import Search

    step = Search.step

    def slow(self: Search, epoch: int, number: int) -> int:
        images = step(self, epoch, number)
        if (epoch, number) == (1, 2):
            gate = Path(self.config.data.dataset.removeprefix("npz:")).with_name("gate")
            gate.touch()
            until(lambda: not gate.exists())
        return images

    Search.step = slow  # type: ignore[method-assign]


def test_a_damaged_id_is_no_id() -> None:
    record = RunRecord(id=run_id.new_id(), unnamed_until=3)
    assert run_id.decode(run_id.encode(record)) == record
    for content in (b"", b"{}", b'{"id":""}', b"[" * 10_000, b"\xff", b'{"id":3}'):
        assert run_id.decode(content) is None
        assert run_id.repeated_in(content) == ""
    assert record.owns(record.id, 99)
    assert not record.owns("0" * 16, 1)
    assert [record.owns("", seq) for seq in (3, 4)] == [True, False]
