"""Every system call of a save failing once: old or new, never a mix, and the error names the file.

A run that is being saved goes on: it pauses, says which file and which errno, and tries again.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from desk_kit import Desk  # noqa: E402
from engine_kit import events_in, of_type  # noqa: E402
from faulty.failing_os import FailingOs, failing_once  # noqa: E402

from darts_engine.run import events, folder, log, log_repair, private_files, run_id  # noqa: E402
from darts_engine.run.folder import RunFolder  # noqa: E402
from darts_engine.run.private_files import PrivateFolder  # noqa: E402
from darts_engine.run.run_id import RunRecord  # noqa: E402
from darts_engine.runner import checkpoint, hold, session  # noqa: E402

ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR)
OLD, NEW = "a" * 32, "b" * 32


def write_engine(run: RunFolder, mark: str) -> None:
    run.write_engine(mark)


def write_record(run: RunFolder, mark: str) -> None:
    run.write_record(RunRecord(id=mark))


def write_config(run: RunFolder, mark: str) -> None:
    private_files.write_private(run.config, mark.encode())


def replace_config(run: RunFolder, mark: str) -> None:
    with PrivateFolder.open(run.path) as inside:
        inside.replace(run.config.name, mark.encode())


def raised_by(action: Callable[[], None]) -> OSError | None:
    try:
        action()
    except OSError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_engine, "engine.json"),
        (write_record, run_id.NAME),
        (write_config, "config.toml"),
        (replace_config, "config.toml"),
    ],
)
def test_a_small_file_is_old_or_new_and_the_error_names_it(
    write: Callable[[RunFolder, str], None],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, file = RunFolder(tmp_path), tmp_path / name
    for layer in failing_once(ERRORS):
        write(run, OLD)
        before = file.read_bytes()
        with monkeypatch.context() as patch:
            layer.put_into(patch, private_files)
            raised = raised_by(lambda: write(run, NEW))
        if raised is not None:
            assert raised.errno == layer.error
            assert raised.filename in (str(file), str(tmp_path))
        else:
            # Nothing is lost where a folder that was only looked into does not close.
            assert not layer.has_failed or layer.failed == "close"
        after = file.read_bytes()
        assert after == before or NEW in after.decode()
        assert os.listdir(tmp_path) == [name]


def test_a_file_written_one_byte_at_a_time_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path)
    FailingOs(shortest=True).put_into(monkeypatch, private_files)
    write_record(run, NEW)
    assert run.read_record() == RunRecord(id=NEW)


@pytest.mark.parametrize("error", ERRORS)
def test_a_run_goes_on_whichever_call_of_its_save_fails(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "POLL_S", 0.001)
    monkeypatch.setattr(session, "RETRY_S", 0.002)
    # The test needs no disk, only the order of calls.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    desk, number, reasons = Desk(tmp_path / "run"), 2, []
    try:
        desk.save(1)
        desk.save(2)
        for layer in failing_once((error,)):
            number += 1
            with monkeypatch.context() as patch:
                layer.put_into(patch, private_files, folder, hold, log, log_repair)
                desk.save(number)
            found = checkpoint.newest_first(desk.run)
            states = [checkpoint.load(desk.run, checkpoint.read_manifest(path)) for path in found]
            assert int(states[0]["number"]) == number
            assert len(states) >= 2
        history = events_in(desk.run)
        assert [event.seq for event in history] == list(range(1, len(history) + 1))
        reasons = [paused.reason for paused in of_type(history, events.RunPaused)]
        assert len(reasons) > 10
        for reason in reasons:
            assert str(desk.run.path) in reason
            assert errno.errorcode[error] in reason or "disk full" in reason
    finally:
        desk.leave()


def test_a_checkpoint_and_a_log_written_one_byte_at_a_time_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "run")
    try:
        FailingOs(shortest=True).put_into(monkeypatch, private_files, log)
        desk.save(1)
        (path,) = checkpoint.newest_first(desk.run)
        assert checkpoint.load(desk.run, checkpoint.read_manifest(path)) == {"number": 1}
        assert desk.names() == ["CheckpointSaved"]
    finally:
        desk.leave()
