"""File systems without locks, or with broken ones, as some that reach over a network.

Nothing begins without a lock, and each refusal has three lines. A run that has its lock already
goes on, and is not taken for dead because the lock cannot be looked at.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from desk_kit import Desk  # noqa: E402
from engine_kit import events_in, of_type  # noqa: E402
from fake_run import engine_alive, make_run  # noqa: E402
from fake_story import made_up_events  # noqa: E402

from darts_engine import __main__ as engine  # noqa: E402
from darts_engine.run import events, lock  # noqa: E402
from darts_engine.run.errors import BusyError, ExitCode, LockError  # noqa: E402
from darts_engine.run.folder import STALLED_AFTER_S, RunFolder  # noqa: E402
from darts_engine.run.liveness import observe  # noqa: E402
from darts_engine.run.state import fold_all  # noqa: E402
from darts_tui.cli import main as cli  # noqa: E402
from darts_tui.launch import engine_process  # noqa: E402

ERRORS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO, errno.ESTALE, errno.EINVAL)


class BrokenLocks:
    """Stands in for `fcntl`: every `flock` fails with one error."""

    LOCK_EX, LOCK_SH, LOCK_NB = fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_NB

    def __init__(self, error: int) -> None:
        self.error = error

    def flock(self, _descriptor: int, _operation: int) -> None:
        raise OSError(self.error, os.strerror(self.error))


@pytest.fixture(params=ERRORS, ids=lambda error: errno.errorcode[error])
def locks(request: pytest.FixtureRequest) -> BrokenLocks:
    return BrokenLocks(request.param)


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Fail if the test leaves a descriptor open."""
    before = len(os.listdir("/dev/fd"))
    yield
    assert len(os.listdir("/dev/fd")) == before


def is_clear(said: str, locks: BrokenLocks) -> None:
    what, where, remedy = said.splitlines()[-3:]
    assert "cannot be locked" in what
    assert errno.errorcode[locks.error] in what
    assert where.endswith(".lock")
    assert "doctor" in remedy


@pytest.mark.usefixtures("descriptors")
def test_no_engine_starts_without_a_lock(
    runs: Path,
    locks: BrokenLocks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = make_run(runs, "one", epochs_done=1, phase="stopped")
    before = run.events.read_bytes()
    monkeypatch.setattr(lock, "fcntl", locks)
    # The engine would change the process that it is.
    monkeypatch.setattr(engine.Signals, "install", lambda _: None)
    monkeypatch.setattr(engine.faulthandler, "enable", lambda: None)
    umask = os.umask(0o077)
    try:
        assert engine.main([str(run.path)]) == ExitCode.FAILED
    finally:
        os.umask(umask)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 3
    is_clear(said, locks)
    assert run.events.read_bytes() == before
    assert run.read_engine() is None


@pytest.mark.parametrize("arguments", [("resume", "one"), ("search", "--name", "two")])
def test_no_launcher_starts_an_engine_without_a_lock(
    runs: Path,
    locks: BrokenLocks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    make_run(runs, "one", epochs_done=1, phase="stopped")
    monkeypatch.setattr(lock, "fcntl", locks)
    monkeypatch.setattr(engine_process, "_spawn", lambda *_: pytest.fail("an engine was started"))
    assert cli.run([*arguments, "--runs", str(runs)]) == ExitCode.FAILED
    is_clear(capsys.readouterr().err, locks)


def test_a_study_does_not_begin_without_a_lock(
    runs: Path,
    locks: BrokenLocks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(lock, "fcntl", locks)
    assert cli.run(["protocol", "--name", "p", "--runs", str(runs)]) == ExitCode.FAILED
    is_clear(capsys.readouterr().err, locks)


def test_who_cannot_look_at_a_lock_believes_the_heartbeat(
    runs: Path, locks: BrokenLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(runs, "one", epochs_done=1, epochs=2)
    state = fold_all(made_up_events(epochs_done=1, epochs=2))
    with engine_alive(run):
        monkeypatch.setattr(lock, "fcntl", locks)
        assert observe(run, state) == "running"
        late = time.time() - STALLED_AFTER_S - 1
        os.utime(run.engine, (late, late))
        assert observe(run, state) == "dead"
        with pytest.raises(LockError):
            run.take_lock()


def test_a_run_goes_on_where_a_deleted_lock_cannot_be_made_anew_for_a_while(
    tmp_path: Path, locks: BrokenLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "run")
    try:
        desk.run.lock.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(lock, "fcntl", locks)
            desk.step(1)
            desk.save(2)
        desk.step(2)
        desk.step(3)
        (told,) = of_type(events_in(desk.run), events.LogWritten)
        assert told.message.startswith("engine.lock was deleted")
        with pytest.raises(BusyError):
            desk.run.take_lock()
    finally:
        desk.leave()


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("refuse", [LockError, BusyError])
def test_a_lock_that_is_not_got_leaves_nothing_open(
    runs: Path, monkeypatch: pytest.MonkeyPatch, refuse: type[Exception]
) -> None:
    run: RunFolder = make_run(runs, "one", epochs_done=1)
    error: Callable[[], OSError] = (
        BlockingIOError if refuse is BusyError else lambda: OSError(errno.EIO, "x")
    )

    class Fails(BrokenLocks):
        def flock(self, _descriptor: int, _operation: int) -> None:
            raise error()

    monkeypatch.setattr(lock, "fcntl", Fails(0))
    monkeypatch.setattr(lock, "POLL_S", 0.0)
    monkeypatch.setattr(lock.take, "__defaults__", (0.0,))
    with pytest.raises(refuse):
        run.take_lock()
