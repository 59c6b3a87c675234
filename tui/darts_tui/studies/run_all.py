"""Runs jobs with bounded parallelism and prints their progress.

Each job is an ordinary run, which other programs may watch, pause or stop. A finished run is left
alone, a run with a live engine is waited for, and any other run continues from its newest
checkpoint. So the same list of jobs can be given again after any interruption.
"""

import contextlib
import os
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
from darts_engine.run.log import LogReader
from darts_engine.run.settings.config import Config, override
from darts_engine.run.state import RunState, fold
from darts_engine.run.threads import num_threads
from darts_tui.console.event_text import note
from darts_tui.launch import engine_process
from darts_tui.printing.printers import is_routine, levelled
from darts_tui.printing.progress import failure, has_ended
from darts_tui.runs.naming import command
from darts_tui.runs.summary import RunSummary

POLL_S = 0.1
LONGEST_NOTE = 300
CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.REQUEUE,
}
# Prints a line of progress.
PrintLine = Callable[[str], None]


class Job(NamedTuple):
    """A run to be finished: its name, and its config."""

    name: str
    config: Config


class Interrupted(Exception):  # noqa: N818 -- not an error
    """A signal interrupted the work; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class Work:
    """A run that has started; `engine` is None when another launcher started it."""

    folder: RunFolder
    engine: subprocess.Popen[bytes] | None
    reader: LogReader
    state: RunState

    def is_over(self) -> bool:
        """Whether the engine has ended, so that it writes no more events."""
        return has_ended(self.folder, self.state, self.engine)


def finish(runs: Path, jobs: Sequence[Job], parallel: int, print_line: PrintLine) -> None:
    """Finish the runs of all jobs, at most `parallel` of them at a time.

    The first of SIGINT, SIGTERM and SIGUSR1 makes all engines save a checkpoint and stop. The
    second returns at once, and the engines end by themselves.

    Args:
        runs: folder of the runs.
        jobs: the runs to finish.
        parallel: how many at a time.
        print_line: prints a line of progress.

    Raises:
        Interrupted: by a signal.
        RunError: a run failed or was stopped; the others were stopped too.
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
    return RunSummary(folder).observe() == "finished"


def _refuse_foreign(folder: RunFolder, job: Job) -> None:
    # A run's number of threads depends on how many others ran beside it when it was made.
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
    summary = RunSummary(folder)
    live = summary.observe()
    reader = LogReader(folder.events, offset=summary.offset)
    if folder.is_locked():
        print_line(f"{folder.name} is {live}; waiting for it ({command('attach', folder)})")
        return Work(folder, None, reader, summary.state)
    engine = engine_process.start(folder, folder.read_config())
    print_line(f"{folder.name} is under way; watch it with {command('attach', folder)}")
    return Work(folder, engine, reader, RunState())


def _clear_half_made(folder: RunFolder) -> None:
    """Remove what is left of a run whose creation was interrupted, and nothing else."""
    with contextlib.suppress(OSError):
        with folder.open() as inside:
            for name in inside.names():
                if name.startswith(f"{folder.config.name}.tmp."):
                    inside.delete(name)
                else:
                    os.rmdir(name, dir_fd=inside.descriptor)
        folder.path.rmdir()


def _sharing(config: Config, parallel: int) -> Config:
    """The config with its share of the cores, unless it sets the number of threads."""
    if parallel == 1 or config.engine.threads:
        return config
    return override(config, {"engine.threads": max(1, (num_threads(0) + 1) // parallel)})


def _advance(work: Work, print_line: PrintLine) -> bool:
    """Print a run's new events. Returns whether it has ended and all were printed."""
    over = work.is_over()
    before = work.reader.offset
    for event in work.reader.read():
        fold(work.state, event)
        found = None if is_routine(event) else note(event)
        if found is not None:
            print_line(f"{work.folder.name}: {levelled(found, LONGEST_NOTE)}")
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
    lines = engine_process.last_lines(folder)
    raise RunError(
        f"the engine of {folder.name} is gone before its end" + (f": {lines[-1]}" if lines else ""),
        where=str(folder.engine_log),
    )


def _stop(active: Sequence[Work], caught: list[int], handled: int, print_line: PrintLine) -> None:
    """Make all engines save and stop, and wait for it until more than `handled` signals came."""
    if active:
        print_line("saving checkpoints and stopping; ctrl+c leaves at once")
    for work in active:
        if work.folder.is_locked():
            with contextlib.suppress(RunError):
                work.folder.send(commands.stamped(commands.Stop))
    left = list(active)
    while left and len(caught) <= handled:
        left = [work for work in left if not _advance(work, print_line)]
        time.sleep(POLL_S)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals of `CODES`, which then end nothing by themselves."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda n, _: caught.append(n)) for number in CODES}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
