"""A dashboard on the log of days: its end at once, all of it soon, little memory, and `q` at once.

A log of 30 MB in the suite, and of 500 with `--full`, which the bars are for.
"""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fake_run
import pytest
from big_log import write_big_run
from dashboard_kit import a_run, story, until, watching
from effort import times
from textual.message import Message

from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState, fold_all
from darts_tui.dashboard import reader as readers
from darts_tui.dashboard.app import DashboardApp
from darts_tui.dashboard.history import fold_lines, read_history
from darts_tui.dashboard.reader import EventsRead, Reader, StateRead, StatusChanged
from darts_tui.runs.outcome import outcome

BIG_MB = times(30, full=500)
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def big_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    # An epoch of a hundred steps and six samples has 70 kB.
    runs = tmp_path_factory.mktemp("runs")
    return write_big_run(runs, "big", epochs=15 * BIG_MB, steps=96, samples=6)


def wait_for(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Screen:
    """Takes the messages of a reader as an app does; with `folds` false, as one that hangs."""

    def __init__(self, run: RunFolder, *, folds: bool = True) -> None:
        self.state, self.posted, self._folds = RunState(), list[Message](), folds
        self.reader = Reader(run, self.state, 0.01, self.take)

    def take(self, message: Message) -> None:
        self.posted.append(message)
        if isinstance(message, StateRead):
            self.state = message.state
        elif isinstance(message, EventsRead) and self._folds:
            fold_all(message.history, self.state)
            message.folded.set()

    @property
    def is_current(self) -> bool:
        last = self.posted[-1] if self.posted else None
        return isinstance(last, StatusChanged) and not last.status.behind


def test_the_end_is_shown_at_once_and_everything_in_the_end(big_run: RunFolder) -> None:
    screen = Screen(big_run)
    screen.reader.start()
    wait_for(lambda: screen.posted)
    (ends, *_) = screen.posted
    assert isinstance(ends, StateRead)
    source, whole = LogReader(big_run.events), RunState()
    while source.is_behind():
        fold_all(source.read(1 << 20), whole)
    assert (ends.state.epoch, ends.state.global_step) == (whole.epoch, whole.global_step)
    assert ends.state.best == whole.best
    assert ends.state.alpha == whole.alpha
    wait_for(lambda: screen.is_current)
    screen.reader.stop()
    assert screen.reader.join(5.0)
    for name in ("epochs", "train_loss", "epoch_alphas", "genotypes", "health", "notes", "last_t"):
        if BIG_MB <= 60 or name in ("train_loss", "notes", "last_t"):
            assert getattr(screen.state, name) == getattr(whole, name), name


@pytest.mark.parametrize("when", ["while it reads", "while the app hangs"])
def test_leaving_waits_for_nothing(big_run: RunFolder, runs: Path, when: str) -> None:
    if when == "while it reads":
        screen = Screen(big_run)
    else:
        screen = Screen(fake_run.make_run(runs, "short"), folds=False)
    screen.reader.start()
    wait_for(lambda: screen.posted)
    screen.reader.stop()
    began = time.monotonic()
    assert screen.reader.join(5.0)
    assert time.monotonic() - began < 1.0
    assert not screen.is_current


MEASURE = """
import sys
from pathlib import Path
from darts_engine.run.log import LogReader
from darts_engine.run.state import RunState
from darts_tui.dashboard.history import read_history

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

before = peak()
state = RunState()
read_history(LogReader(Path(sys.argv[1])), state, lambda: False, lambda: None)
print(state.epoch, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("what", ["megabytes", "epochs"])
def test_memory_does_not_grow_with_the_log(big_run: RunFolder, runs: Path, what: str) -> None:
    run, epochs = big_run, 15 * BIG_MB
    if what == "epochs":
        epochs = 100 * BIG_MB
        run = write_big_run(runs, "epochs", epochs=epochs, steps=1)
    ended = subprocess.run(
        [sys.executable, "-P", "-c", MEASURE, str(run.events)], capture_output=True, check=True
    )
    epoch, kilobytes = map(int, ended.stdout.split())
    assert epoch == epochs
    # The same for 500 MB and for 26,000 epochs.
    assert kilobytes < 80_000


def test_a_list_reads_no_more_of_a_big_log_than_it_needs(
    big_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    pread = os.pread

    def counting(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal read
        read += length
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", counting)
    assert outcome(big_run).epoch == 15 * BIG_MB
    assert read < 16 << 20


@pytest.mark.parametrize("ending", ["whole", "left", "failed"])
def test_no_search_for_cycles_holds_up_the_app_while_a_log_is_read(
    big_run: RunFolder, ending: str
) -> None:
    searches: list[int] = []

    def count(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            searches.append(about["generation"])

    def fail() -> None:
        raise OSError("as of a disk")

    state, pieces = RunState(), 0

    def is_over() -> bool:
        nonlocal pieces
        pieces += 1
        return ending == "left" and pieces > 3

    source = LogReader(big_run.events)
    gc.callbacks.append(count)
    try:
        if ending == "failed":
            with pytest.raises(OSError, match="as of a disk"):
                read_history(source, state, is_over, fail)
        else:
            read_history(source, state, is_over, lambda: None)
        assert searches == []
        assert gc.isenabled()
        # Nor is what was read, which is most of all objects, ever walked through again.
        assert not any(part is state.epoch_alphas for part in gc.get_objects())
    finally:
        gc.callbacks.remove(count)


def test_lines_are_folded_as_if_every_sample_had_been_decoded(runs: Path) -> None:
    for method in ("darts", "ms-darts"):
        made = story(epochs_done=5, epochs=8, method=method, phase="stopped")
        run = fake_run.make_run(runs, method)
        fake_run.write(run, made)
        source, state = LogReader(run.events), RunState()
        fold_lines(source, source.read_lines(), state)
        assert state == fold_all(made)


def test_a_damaged_sample_costs_no_other_and_is_counted(runs: Path) -> None:
    run = fake_run.make_run(runs, "damaged", epochs_done=3, epochs=4)
    source = LogReader(run.events)
    lines = source.read_lines()
    samples = [n for n, line in enumerate(lines) if b"alpha_sampled" in line]
    lines[samples[1]] = lines[samples[1]][:-9]
    state, expected = RunState(), RunState()
    fold_lines(source, lines, state)
    fold_all((e for line in lines if (e := LogReader(run.events).decode(line))), expected)
    assert state == expected
    assert source.damaged == 1


async def test_the_dashboard_shows_a_long_log_as_a_short_one(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "LONG_BYTES", 0)
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            assert app.state == fold_all(story())
            more = story(epochs_done=24, epochs=50)[-1]
            with run.events.open("ab") as file:
                file.write(fake_run.events.encode(more))
            await until(pilot, lambda: app.state.last_seq == more.seq)


async def test_keys_work_while_a_long_log_is_read(big_run: RunFolder) -> None:
    app = DashboardApp(big_run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.state.started is not None)
        assert app.view().loading
        assert app.state.epoch == 15 * BIG_MB
        await pilot.press("q")
    assert app.return_code == 0
    assert app._reader.join(5.0)
