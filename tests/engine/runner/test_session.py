"""What happens between two steps: commands, pauses, a disk without room, and the way back."""

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from desk_kit import Desk  # noqa: E402
from engine_kit import events_in, of_type, until  # noqa: E402

from darts_engine.run import commands, events  # noqa: E402
from darts_engine.run.errors import (  # noqa: E402
    CheckpointError,
    ExitCode,
    NotFoundError,
    NotRepeatableError,
)
from darts_engine.run.private_files import PrivateFolder  # noqa: E402
from darts_engine.runner import checkpoint, session  # noqa: E402
from darts_engine.runner.session import Stopped  # noqa: E402


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(session, "POLL_S", 0.002)
    monkeypatch.setattr(session, "RETRY_S", 0.02)
    desk = Desk(tmp_path / "run")
    yield desk
    desk.leave()


def answers(desk: Desk) -> list[str]:
    kinds = (events.CommandAccepted, events.CommandDone, events.CommandRejected)
    return [f"{type(f).__name__[7:]} {f.id}" for f in events_in(desk.run) if isinstance(f, kinds)]


def test_a_resume_that_arrived_together_with_its_pause_ends_it(desk: Desk) -> None:
    desk.command(commands.Pause(id="p"), commands.Resume(id="r"))
    desk.step(1)
    assert answers(desk) == ["Accepted p", "Done p", "Accepted r", "Done r"]
    assert desk.names()[-1] == "RunContinued"


def test_a_stop_that_arrived_together_with_a_pause_ends_the_run(desk: Desk) -> None:
    desk.command(commands.Pause(id="p"), commands.Stop(id="s"))
    with pytest.raises(Stopped) as stop:
        desk.step(1)
    assert stop.value.exit_code == ExitCode.OK
    assert answers(desk)[-1] == "Done s"


def test_commands_that_make_no_sense_now_are_refused_with_a_reason(desk: Desk) -> None:
    desk.command(commands.Resume(id="r"))
    desk.step(1)
    desk.command(commands.Pause(id="p"), commands.Pause(id="q"), commands.Resume(id="s"))
    desk.step(2)
    refused = {f.id: f.reason for f in of_type(events_in(desk.run), events.CommandRejected)}
    assert refused == {"r": "the run is not paused", "q": "the run is paused already"}


def test_a_stop_after_the_epoch_lets_the_epoch_end(desk: Desk) -> None:
    desk.command(commands.Stop(id="s", after_epoch=True))
    desk.step(1)
    desk.step(2)
    with pytest.raises(Stopped):
        desk.step(3, is_epoch_done=True)
    assert answers(desk) == ["Accepted s", "Done s"]
    (saved,) = of_type(events_in(desk.run), events.CheckpointSaved)
    assert (saved.global_step, saved.reason) == (3, "stop")


def test_commands_after_the_last_boundary_are_still_answered(desk: Desk) -> None:
    desk.command(commands.Stop(id="s", after_epoch=True))
    desk.step(1)
    desk.command(commands.Checkpoint(id="c"))
    desk.session.close()
    assert answers(desk) == ["Accepted s", "Done s", "Rejected c"]


def test_a_checkpoint_is_durable_before_its_event_and_the_events_it_knows_before_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note_and_sync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name if Path("/proc").exists() else ""
        synced.append(name.partition(".")[2].partition(".tmp")[0] or name)
        assert "CheckpointSaved" not in desk.names()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    desk.save(1)
    monkeypatch.undo()
    if Path("/proc").exists():
        assert synced == ["jsonl", "pt", "checkpoints", "json", "checkpoints"]
    assert desk.names()[-1] == "CheckpointSaved"


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "disk full: no room"), (errno.EIO, "cannot be saved: Input/output error")],
)
def test_a_run_that_cannot_save_pauses_and_goes_on_by_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    write, refusals = PrivateFolder.replace, [number] * 3

    def full(folder: PrivateFolder, name: str, content: bytes) -> None:
        if name.endswith(".json") and refusals:
            raise OSError(refusals.pop(), os.strerror(number))
        write(folder, name, content)

    monkeypatch.setattr(PrivateFolder, "replace", full)
    desk.save(1)
    assert desk.names() == ["RunPaused", "RunContinued", "CheckpointSaved"]
    assert reason in of_type(events_in(desk.run), events.RunPaused)[0].reason
    assert len(list(desk.run.checkpoints.iterdir())) == 2, "tries that failed lie about"


def test_a_stop_or_a_signal_ends_the_wait_for_room(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: PrivateFolder, name: str, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "no room")

    desk.save(1)
    monkeypatch.setattr(PrivateFolder, "replace", full)
    desk.command(commands.Pause(id="p"), commands.Stop(id="s"))
    with pytest.raises(Stopped) as stop:
        desk.save(2)
    assert stop.value.exit_code == ExitCode.NO_SPACE
    assert answers(desk) == ["Rejected p", "Accepted s", "Done s"]
    desk.signals.received = signal.SIGUSR1
    with pytest.raises(Stopped) as stop:
        desk.save(3)
    assert stop.value.exit_code == ExitCode.REQUEUE
    assert [path.name for path in checkpoint.newest_first(desk.run)] == [
        "step-000000001-seq-0.json"
    ]


def test_a_run_whose_folder_goes_away_ends_also_from_a_pause(desk: Desk) -> None:
    desk.command(commands.Pause(id="p"))
    failures: list[BaseException] = []

    def pause() -> None:
        try:
            desk.step(1)
        except NotFoundError as error:
            failures.append(error)

    thread = threading.Thread(target=pause)
    thread.start()
    until(lambda: "RunPaused" in desk.names(), 10)
    desk.run.path.rename(desk.run.path.with_name("elsewhere"))
    thread.join(10)
    assert not thread.is_alive()
    assert len(str(failures[0]).splitlines()) == 3


def reopened(desk: Desk) -> Desk:
    """The next engine's session; its log is closed with the desk."""
    desk.leave()
    again = Desk(desk.run.path)
    desk.log, desk.hold = again.log, again.hold
    return again


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(desk: Desk, suffix: str) -> None:
    desk.save(1)
    desk.save(2)
    newest = checkpoint.newest_first(desk.run)[0].with_suffix(suffix)
    damage(newest)
    again = reopened(desk)
    assert again.session.restore(again.task).global_step == 1
    assert float(again.task.number) == 1.0
    note, rewound = events_in(desk.run)[-2:]
    assert isinstance(note, events.LogWritten)
    assert isinstance(rewound, events.Rewound)
    assert note.level == "error"
    assert newest.name in note.message
    assert rewound.to_step == 1


def test_when_every_checkpoint_is_damaged_the_run_is_refused_not_begun_again(desk: Desk) -> None:
    desk.save(1)
    desk.save(2)
    for path, suffix in zip(checkpoint.newest_first(desk.run), (".pt", ".json"), strict=True):
        damage(path.with_suffix(suffix))
    again = reopened(desk)
    with pytest.raises(CheckpointError) as refusal:
        again.session.restore(again.task)
    assert len(str(refusal.value).splitlines()) == 3
    assert refusal.value.exit_code == 4


def test_a_checkpoint_that_does_not_fit_is_refused_in_three_lines(desk: Desk) -> None:
    desk.save(1)
    again = reopened(desk)
    again.task.number = torch.zeros(2, 2, 2)
    again.task.load_state = lambda state: torch.nn.Linear(2, 2).load_state_dict(state)  # type: ignore[method-assign,assignment]
    with pytest.raises(CheckpointError, match="does not fit") as refusal:
        again.session.restore(again.task)
    assert len(str(refusal.value).splitlines()) == 3


def test_events_go_on_from_the_checkpoint_when_the_log_was_lost(desk: Desk) -> None:
    for number in range(1, 6):
        desk.save(number)
    desk.run.events.unlink()
    again = reopened(desk)
    again.session.restore(again.task)
    again.save(6)
    newest = checkpoint.read_manifest(checkpoint.newest_first(desk.run)[0])
    assert newest.position.global_step == 6


def test_a_log_that_was_deleted_is_there_again_at_the_boundary_and_says_so(desk: Desk) -> None:
    desk.step(1)
    desk.save(2)
    desk.run.events.unlink()
    desk.step(3)
    assert desk.names() == ["CheckpointSaved", "LogWritten"]
    desk.run.events.unlink()
    desk.save(4)
    assert desk.names() == ["CheckpointSaved", "LogWritten", "LogWritten", "CheckpointSaved"]
    desk.run.events.unlink()
    desk.session.close()
    (*_, last) = events_in(desk.run)
    assert isinstance(last, events.LogWritten)
    assert (last.level, last.seq) == ("warning", 5)
    assert "the event log was removed by another program" in last.message


def test_a_log_that_cannot_be_made_anew_is_told_of_where_people_look(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.run.events.unlink()
    desk.run.events.mkdir()
    for number in (1, 2):
        desk.step(number)
    assert capsys.readouterr().err.count("events.jsonl is a folder") == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_pauses_and_checkpoints_leak_no_descriptors(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darts_engine.runner.inbox.MAX_PER_SECOND", 10**6)

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    desk.step(1)
    before = count()
    for number in range(50):
        cycle: list[Callable[..., commands.Command]] = [commands.Pause, commands.Checkpoint]
        for kind in [*cycle, commands.Resume]:
            desk.command(kind(id=f"c{number}"))
        desk.step(number + 2)
    assert count() == before
    assert desk.names().count("RunContinued") == 50


def test_each_difference_of_the_machine_at_resume_is_told_by_name(desk: Desk) -> None:
    there = {"torch": "2.10.0", "device": "cpu", "threads": "1", "processes": "1"}
    here = {"torch": "2.11.0", "device": "NVIDIA H100", "threads": "2", "processes": "1"}
    desk.session.origin = replace(desk.session.origin, environment=there)
    desk.save(1)
    desk.session.origin = replace(desk.session.origin, environment=here)
    desk.session.restore(desk.task)
    told = [note.message for note in of_type(events_in(desk.run), events.LogWritten)]
    assert told == [
        f"{name} was {there[name]} and is {here[name]}: results may differ in the last digits"
        for name in ("torch", "device", "threads")
    ]


@pytest.mark.parametrize("what", ["torch", "device", "threads", "processes", "machine"])
def test_what_decides_the_last_digits_is_told_and_refused_by_a_strict_session(
    tmp_path: Path, what: str
) -> None:
    then = dict.fromkeys(("torch", "device", "threads", "processes", "machine"), "2")
    desk = Desk(tmp_path / "run")
    desk.session.origin = replace(desk.session.origin, environment=then)
    desk.save(3)
    desk.leave()
    strict = Desk(desk.run.path, is_strict=True)
    strict.session.origin = replace(desk.session.origin, environment=then | {what: "3"})
    with pytest.raises(NotRepeatableError) as refused:
        strict.session.restore(strict.task)
    assert refused.value.what.endswith(f"the same bits: {what} was 2 and is 3")
    assert refused.value.exit_code == ExitCode.REFUSED
    assert strict.task.number == 0
    strict.session.origin = desk.session.origin
    assert strict.session.restore(strict.task).epoch == 3
    assert not of_type(events_in(desk.run), events.LogWritten)
    strict.leave()
    lenient = Desk(desk.run.path)
    lenient.session.origin = replace(desk.session.origin, environment=then | {what: "3"})
    assert lenient.session.restore(lenient.task).epoch == 3
    (told,) = of_type(events_in(desk.run), events.LogWritten)
    assert told.message == f"{what} was 2 and is 3: results may differ in the last digits"
    lenient.leave()
