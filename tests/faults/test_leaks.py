"""A hundred watchers that come and go, and as many pauses, leave nothing behind.

A hundred in the suite; 1,000 with `--full`.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_run
import psutil
import pytest
from effort import times
from textual.message import Message

torch = pytest.importorskip("torch")

from darts_engine.run import commands, events  # noqa: E402
from darts_engine.run.folder import RunFolder  # noqa: E402
from darts_engine.run.log import EventLog  # noqa: E402
from darts_engine.run.state import RunState, fold_all  # noqa: E402
from darts_engine.runner import checkpoint, inbox  # noqa: E402
from darts_engine.runner.heartbeat import Heartbeat  # noqa: E402
from darts_engine.runner.hold import Hold  # noqa: E402
from darts_engine.runner.inbox import Inbox, Signals  # noqa: E402
from darts_engine.runner.position import Position  # noqa: E402
from darts_engine.runner.session import Session  # noqa: E402
from darts_tui.dashboard import reader as readers  # noqa: E402
from darts_tui.dashboard.reader import EventsRead, Reader, StatusChanged  # noqa: E402
from darts_tui.runs.outcome import observed  # noqa: E402

CYCLES = times(100, full=1000)
DEADLINE_S = 30.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc shows")


def held() -> tuple[int, int, int]:
    """Descriptors, threads and children of this process."""
    process = psutil.Process()
    return process.num_fds(), threading.active_count(), len(process.children(recursive=True))


@contextmanager
def nothing_left() -> Iterator[None]:
    before = held()
    yield
    deadline = time.monotonic() + DEADLINE_S
    while held() != before:
        assert time.monotonic() < deadline, f"{before} before, {held()} after"
        time.sleep(0.01)


class Watcher:
    """Folds what a reader posts, until it knows all that there is."""

    def __init__(self, run: RunFolder) -> None:
        self.state, self.is_current = RunState(), threading.Event()
        self.reader = Reader(run, self.state, 0.001, self._take)

    def _take(self, message: Message) -> None:
        if isinstance(message, EventsRead):
            fold_all(message.history, self.state)
            message.folded.set()
        elif isinstance(message, StatusChanged) and not message.status.behind:
            self.is_current.set()


@pytest.mark.parametrize("is_long", [False, True], ids=["a short log", "a long log"])
def test_watchers_that_come_and_go_leave_nothing(
    runs: Path, monkeypatch: pytest.MonkeyPatch, is_long: bool
) -> None:
    if is_long:
        monkeypatch.setattr(readers, "LONG_BYTES", 0)
    run = fake_run.make_run(runs, "watched", epochs_done=2, epochs=4)

    def come_and_go() -> None:
        watcher = Watcher(run)
        watcher.reader.start()
        assert watcher.is_current.wait(DEADLINE_S)
        watcher.reader.stop()
        assert watcher.reader.join(DEADLINE_S)
        observed(run)

    with fake_run.engine_alive(run):
        come_and_go()
        with nothing_left():
            for _ in range(CYCLES):
                come_and_go()


class Counter:
    """The smallest task: one number."""

    number = torch.zeros(1)

    def state(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state(self, state: dict[str, Any]) -> None:
        self.number.copy_(state["number"])


def resume_pause_and_leave(path: Path, pauses: int) -> None:
    """As an engine does, in this process."""
    hold = Hold(path)
    log = EventLog(hold.folder.events, hold.folder.torn_events, within=hold.opened)
    box = Inbox(hold.folder, log.append)
    heartbeat = Heartbeat(hold.folder)
    heartbeat.start()
    session = Session(hold, log, Signals(), box, keep=2, checkpoint_seconds=0.0)
    session.origin = checkpoint.Origin({"kind": "count"}, run=hold.enter(log.last_seq).id)
    position = session.restore(Counter())
    for _ in range(pauses):
        hold.folder.send(commands.stamped(commands.Pause))
        hold.folder.send(commands.stamped(commands.Resume))
        session.boundary(Counter(), position)
    step = position.global_step + 1
    session.save(Counter(), Position(epoch=1, step=step, global_step=step), reason="command")
    heartbeat.stop()
    log.close()
    hold.close()


def test_pauses_and_resumed_runs_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_PER_SECOND", 10 * CYCLES)
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    times = max(1, CYCLES // 10)
    resume_pause_and_leave(run.path, 1)
    with nothing_left():
        for _ in range(times):
            resume_pause_and_leave(run.path, CYCLES // times)
    written = (events.decode(line) for line in run.events.read_bytes().splitlines())
    paused = [event for event in written if isinstance(event, events.RunPaused)]
    assert len(paused) == 1 + times * (CYCLES // times)
