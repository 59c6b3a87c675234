"""Run folders: names, privacy, the lock, and how a run is found."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darts_engine.run import private_files
from darts_engine.run.commands import Pause, decode, stamped
from darts_engine.run.errors import BusyError, NotFoundError, RunError, UnsafeFileError
from darts_engine.run.folder import RunFolder, create, find, is_run, list_runs
from darts_engine.run.log import EventLog
from darts_engine.run.settings.config import SearchConfig, TrainConfig

CONFIG = SearchConfig()


@pytest.mark.parametrize("name", ["a", "0", "digits-1", "a.b_c-d", "a..b", "x" * 64])
def test_good_names_make_runs(runs: Path, name: str) -> None:
    run = create(runs, name, CONFIG)
    assert (run.name, run.path) == (name, runs / name)
    assert run.read_config() == CONFIG
    assert run.checkpoints.is_dir()
    assert run.exports.is_dir()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/b", "/a", "a\\b", "-a", ".a", "A", "a b", "a\n", "\na", "a\0", "é",
     "a\x1b[31m", "latest", "x" * 65],
)  # fmt: skip
def test_other_names_are_refused_and_make_nothing(runs: Path, name: str) -> None:
    with pytest.raises(RunError):
        create(runs, name, CONFIG)
    assert list(runs.parent.rglob("*")) == [runs]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(max_size=70) | st.text("./~a0-\\\n", max_size=8))
def test_no_name_and_no_reference_reaches_outside(runs: Path, name: str) -> None:
    try:
        assert create(runs, name, CONFIG).path.parent == runs
    except RunError:
        assert not is_run(runs / "x" / name)
    with contextlib.suppress(NotFoundError):
        assert find(runs, name).path.parent == runs
    assert list(runs.parent.iterdir()) == [runs]


def test_a_run_without_a_name_is_called_by_kind_and_time(runs: Path) -> None:
    made = [create(runs, None, TrainConfig()) for _ in range(3)]
    assert all(run.name.startswith("train-2") for run in made)
    assert len({run.path for run in made}) == 3


def test_a_taken_name_is_refused_with_the_way_on(runs: Path) -> None:
    create(runs, "a", CONFIG)
    with pytest.raises(RunError, match="already exists") as refusal:
        create(runs, "a", CONFIG)
    assert "darts-tui resume a" in refusal.value.remedy


def test_a_place_that_cannot_be_written_is_told_in_three_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made") as refusal:
        create(tmp_path / "file" / "runs", "a", CONFIG)
    assert str(tmp_path / "file") in refusal.value.where


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177])
def test_only_the_owner_may_look_whatever_the_umask(runs: Path, umask: int) -> None:
    before = os.umask(umask)
    outer = runs / "new" / "deep"
    try:
        run = create(outer, "a", CONFIG)
        os.close(run.take_lock())
        run.write_engine()
        run.send(stamped(Pause))
    finally:
        os.umask(before)
    made = [outer.parent, outer, run.path, *run.path.iterdir()]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert len(modes) == 10
    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_command_is_one_line_that_the_engine_can_read(runs: Path) -> None:
    run = create(runs, "a", CONFIG)
    sent = [stamped(Pause), stamped(Pause)]
    for command in sent:
        run.send(command)
    assert [decode(line) for line in run.commands.read_bytes().splitlines()] == sent


HOLDER = """
import sys, time
from pathlib import Path
from darts_engine.run.folder import RunFolder
run = RunFolder(Path(sys.argv[1]))
lock = run.take_lock()
run.write_engine()
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_engine_is_told_who_holds_the_run_and_a_kill_frees_it(runs: Path) -> None:
    run = create(runs, "a", CONFIG)
    assert not run.is_locked()
    command = [sys.executable, "-c", HOLDER, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert run.is_locked()
            started = time.monotonic()
            with pytest.raises(BusyError, match=f"pid {holder.pid} on ") as refusal:
                run.take_lock()
            assert time.monotonic() - started < 5
            assert "attach a" in refusal.value.remedy
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
        assert not run.is_locked()
        os.close(run.take_lock())


def test_a_watchers_look_at_the_lock_does_not_take_it(runs: Path) -> None:
    run = create(runs, "a", CONFIG)
    lock = run.take_lock()
    assert run.is_locked()
    assert run.is_locked()
    os.close(lock)
    assert not run.is_locked()


def test_a_run_is_found_by_name_by_path_and_as_the_latest(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = create(runs, "old", CONFIG), create(runs, "new", CONFIG)
    os.utime(old.config, (1, 1))
    assert find(runs, "old").path == old.path.resolve()
    assert find(Path("elsewhere"), str(old.path)).path == old.path.resolve()
    assert find(runs, "latest") == find(runs, None) == new
    assert [run.name for run in list_runs(runs)] == ["new", "old"]
    monkeypatch.chdir(old.path)
    assert find(runs, ".").name == "old"


@pytest.mark.parametrize("reference", ["missing", "../runs", "/", "", "a\0b", "x" * 5000, "old/"])
def test_what_is_no_run_is_not_found(runs: Path, reference: str) -> None:
    with pytest.raises(NotFoundError) as refusal:
        find(runs, reference)
    assert refusal.value.remedy


def test_what_is_written_in_place_is_not_written_through_a_link(runs: Path, tmp_path: Path) -> None:
    run, precious = create(runs, "a", CONFIG), tmp_path / "precious"
    precious.write_text("no newline at the end")
    for path in (run.lock, run.events, run.commands):
        path.symlink_to(precious)
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        run.take_lock()
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        EventLog(run.events, run.torn_events)
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        run.send(stamped(Pause))
    assert precious.read_text() == "no newline at the end"


def test_a_link_to_a_run_and_a_folder_without_config_are_no_runs(runs: Path) -> None:
    real = create(runs, "real", CONFIG)
    (runs / "link").symlink_to(real.path)
    (runs / "empty").mkdir()
    assert [run.name for run in list_runs(runs)] == ["real"]
    for name in ("link", "empty"):
        with pytest.raises(NotFoundError):
            find(runs, name)
    assert list_runs(runs / "missing") == []


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    private_files.write_private(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        private_files.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_engine_record_is_no_record(runs: Path) -> None:
    run = RunFolder(create(runs, "a", CONFIG).path)
    assert run.read_engine() is None
    assert run.heartbeat_age_s() is None
    for content in (b"", b"{", b"[]", b'{"pid": "x"}', b"\xff"):
        run.engine.write_bytes(content)
        assert run.read_engine() is None
    run.write_engine()
    record = run.read_engine()
    assert record is not None
    assert record.pid == os.getpid()


def test_no_run_is_meant_by_an_empty_name(runs: Path) -> None:
    """As from a script with an unset variable; `stop` would end another run."""
    create(runs, "one", CONFIG)
    with pytest.raises(NotFoundError, match="the name of the run is empty"):
        find(runs, "")
    assert find(runs, None).name == "one"
