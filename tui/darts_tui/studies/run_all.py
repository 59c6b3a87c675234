"""Bringing several runs to their ends, a few at a time, and saying in lines how they do.

Runs are ordinary ones: whoever watches, pauses or stops one of them from elsewhere may. A run that
is finished already is left alone, one whose engine lives is waited for, and any other is taken up
from its newest checkpoint, so the same list of jobs can be handed in again after any end.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from darts_engine.run import commands
from darts_engine.run.errors import ExitCode, RunError
from darts_engine.run.folder import RunFolder, create, is_run
from darts_engine.run.liveness import ENDED, observe
from darts_engine.run.log import LogReader
from darts_engine.run.settings.config import Config, override
from darts_engine.run.state import RunState, fold
from darts_engine.run.threads import num_threads
from darts_tui.console.event_text import note
from darts_tui.console.safe_text import clean
from darts_tui.launch import engine_process
from darts_tui.printing.printers import is_routine
from darts_tui.printing.progress import failure
from darts_tui.runs.naming import command
from darts_tui.runs.summary import end, summarise

POLL_S = 0.1
CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.REQUEUE,
}


class Job(NamedTuple):
    """A run that is to be finished: its name, and the config it is made with."""

    name: str
    config: Config


class Interrupted(Exception):  # noqa: N818 -- not an error
    """A signal asked for the end; carries the exit code it stands for."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class Work:
    """A run under way; `engine` is None when another launcher started it."""

    folder: RunFolder
    engine: subprocess.Popen[bytes] | None
    reader: LogReader
    state: RunState

    def is_over(self) -> bool:
        """Whether no more events will come after those already written."""
        if self.engine is not None:
            return self.engine.poll() is not None
        return observe(self.folder, self.state) in (*ENDED, "dead")


PrintLine = Callable[[str], None]


def finish(runs: Path, jobs: Sequence[Job], parallel: int, print_line: PrintLine) -> None:
    """Bring every job's run to its end, at most `parallel` of them at a time.

    The first of SIGINT, SIGTERM and SIGUSR1 lets all of them save a checkpoint and stop; the second
    leaves at once, and the engines end by themselves.

    Raises:
        Interrupted: by a signal.
        RunError: a run failed or was stopped by someone; the others were stopped too.
    """
    waiting = [job for job in jobs if not _is_finished(runs, job)]
    active: list[Work] = []
    with _signals() as caught:
        try:
            while (waiting or active) and not caught:
                while waiting and len(active) < parallel and not caught:
                    active.append(_take_up(runs, waiting.pop(0), parallel, print_line))
                for work in active.copy():
                    if _advance(work, print_line):
                        active.remove(work)
                        _check_end(work)
                time.sleep(POLL_S)
        except BaseException:
            _stop(active, caught, 0, print_line)
            raise
        if caught:
            _stop(active, caught, 1, print_line)
            raise Interrupted(CODES[signal.Signals(caught[0])])


def _is_finished(runs: Path, job: Job) -> bool:
    folder = RunFolder(runs / job.name)
    if not is_run(folder.path):
        return False
    _refuse_foreign(folder, job)
    return summarise(folder)[1] == "finished"


def _refuse_foreign(folder: RunFolder, job: Job) -> None:
    # How many threads a run gets depends on how many ran beside it when it was made.
    if _threadless(folder.read_config()) != _threadless(job.config):
        raise RunError(
            f"{folder.name} is there already, with other settings",
            where=str(folder.path),
            remedy="choose another --name, or move that run away",
        )


def _threadless(config: Config) -> Config:
    return override(config, {"engine.threads": 0})


def _take_up(runs: Path, job: Job, parallel: int, print_line: PrintLine) -> Work:
    folder = RunFolder(runs / job.name)
    if not is_run(folder.path):
        _clear_half_made(folder)
        folder = create(runs, job.name, _sharing(job.config, parallel))
    # Where the log ends is asked first: events in between are folded twice, and none is missed.
    reader = LogReader(folder.events, offset=end(folder))
    state, live = summarise(folder)
    if folder.is_locked():
        print_line(f"{folder.name} is {live}; waiting for it ({command('attach', folder)})")
        return Work(folder, None, reader, state)
    engine = engine_process.start(folder, folder.read_config())
    print_line(f"{folder.name} is under way; watch it with {command('attach', folder)}")
    return Work(folder, engine, reader, RunState())


def _clear_half_made(folder: RunFolder) -> None:
    """Take away what is left of a run whose making was cut short; nothing else goes."""
    with contextlib.suppress(OSError):
        for entry in folder.path.iterdir():
            if entry.name.startswith(f"{folder.config.name}.tmp."):
                entry.unlink()
            else:
                entry.rmdir()
        folder.path.rmdir()


def _sharing(config: Config, parallel: int) -> Config:
    """Runs side by side share the cores, unless the number of threads was asked for."""
    if parallel == 1 or config.engine.threads:
        return config
    return override(config, {"engine.threads": max(1, (num_threads(0) + 1) // parallel)})


def _advance(work: Work, print_line: PrintLine) -> bool:
    """Say the news of a run; whether these were the last."""
    over = work.is_over()
    before = work.reader.offset
    for event in work.reader.read():
        fold(work.state, event)
        told = None if is_routine(event) else note(event)
        if told is not None:
            mark = "" if told.level == "info" else f"{told.level}: "
            print_line(f"{work.folder.name}: {mark}{clean(told.text, 300)}")
    return over and work.reader.offset == before


def _check_end(work: Work) -> None:
    folder, state, engine = work.folder, work.state, work.engine
    if state.phase == "finished":
        return
    if state.failure is not None:
        raise failure(folder, state.failure)
    if state.phase == "stopped":
        error = RunError(f"{folder.name} was stopped before its end", where=str(folder.path))
        if engine is not None and engine.returncode == ExitCode.REQUEUE:
            error.exit_code = ExitCode.REQUEUE
        raise error
    said = engine_process.last_words(folder)
    raise RunError(
        f"the engine of {folder.name} is gone before its end" + (f": {said[-1]}" if said else ""),
        where=str(folder.engine_log),
    )


def _stop(active: Sequence[Work], caught: list[int], heard: int, print_line: PrintLine) -> None:
    """Ask all engines to save and stop, and wait for it until more signals come than `heard`."""
    if active:
        print_line("saving checkpoints and stopping; ctrl+c leaves at once")
    for work in active:
        if work.folder.is_locked():
            with contextlib.suppress(RunError):
                work.folder.send(commands.stamped(commands.Stop))
    left = list(active)
    while left and len(caught) <= heard:
        left = [work for work in left if not _advance(work, print_line)]
        time.sleep(POLL_S)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals of `CODES` instead of being ended by them."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda n, _: caught.append(n)) for number in CODES}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
