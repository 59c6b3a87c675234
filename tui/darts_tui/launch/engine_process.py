"""Starts an engine: a process with a session of its own, and its output in a file.

The end of the launcher's terminal does not reach the engine. Its output is never a pipe, so the
engine never waits for a reader.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from darts_engine.run.errors import ExitCode, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import Config
from darts_engine.run.threads import num_threads
from darts_tui.launch.child_error import ChildError, exit_code, explaining_lines, printed_lines

# -P keeps the working folder out of the import path, where a user's torch.py would be found first.
ENGINE = (sys.executable, "-P", "-m", "darts_engine")
# Variables that torchrun and its like set for their processes. The engine is not one of them.
PLACE_IN_A_JOB = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
START_PATIENCE_S = 60.0
POLL_S = 0.02
MAX_TAIL_BYTES = 64_000


def start(
    folder: RunFolder,
    config: Config,
    *,
    nproc: int = 1,
    is_strict: bool = False,
    program: Sequence[str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start an engine for the run and wait until it holds the run's lock.

    A thread reaps the process as soon as it ends, so that it never stays a zombie.

    Args:
        folder: the run, with its config written.
        config: decides the number of threads.
        nproc: processes that share the run; the engine starts and ends the others.
        is_strict: whether the engine refuses a checkpoint of other versions, threads or devices.
        program: the command that the run folder's path is appended to; the engine unless given.

    Raises:
        BusyError: another engine already holds the run.
        UnsafeFileError: a file or folder of the run is none of this user's own.
        ChildError: the engine ended at once; the message has what it printed.
        RunError: the run cannot be locked, or the process cannot be started.
    """
    try:
        folder.refuse_unsafe()
        # Seconds before the engine would find out.
        with folder.open() as inside, inside.inner(folder.checkpoints.name, make=True):
            pass
        os.close(folder.take_lock())
    except OSError as error:
        raise RunError(
            f"the run cannot be locked: {error.strerror}",
            where=str(folder.lock),
            remedy="mend the folder's rights; 'darts-tui doctor' looks whether locks work there",
        ) from None
    log_start = folder.size_of(folder.engine_log)
    options = [*(("--nproc", str(nproc)) if nproc > 1 else ()), *(("--strict",) * is_strict)]
    process = _spawn(folder, config, nproc, program or ENGINE, options)
    threading.Thread(target=_reap, args=(process,), name="reaper", daemon=True).start()
    deadline = time.monotonic() + START_PATIENCE_S
    try:
        while not _held(folder, process.pid) and time.monotonic() < deadline:
            if process.poll() is not None:
                if process.returncode == 0 or _held(folder, process.pid):
                    break
                raise _ended_at_once(folder, process, log_start)
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        process.terminate()
        raise
    return process


def _spawn(
    folder: RunFolder,
    config: Config,
    nproc: int,
    program: Sequence[str],
    options: Sequence[str],
) -> subprocess.Popen[bytes]:
    # Spinning OpenMP workers make a busy machine slower by an order of magnitude.
    environment = os.environ | {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(num_threads(config.engine.threads, nproc)),
    }
    for name in PLACE_IN_A_JOB:
        environment.pop(name, None)
    try:
        with folder.open() as inside:
            log = inside.open_to_append(folder.engine_log.name)
        try:
            return subprocess.Popen(
                [*program, str(folder.path.resolve()), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=_working_folder(),
                close_fds=True,
                start_new_session=True,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise RunError(
            f"the engine cannot be started: {error.strerror}",
            where=str(error.filename or program[0]),
            remedy="'darts-tui doctor' looks for the reason",
        ) from None


def _working_folder() -> str | None:
    """Where the engine works: where its launcher does, unless that folder was deleted.

    The library that multiplies matrices does not load in a folder that is gone.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        return "/"
    return None


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for the engine's end; signals go to the main thread, whose wait they interrupt."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    process.wait()


def _held(folder: RunFolder, pid: int) -> bool:
    """Whether the process holds the run's lock; it records its pid once it does."""
    record = folder.read_engine()
    return record is not None and record.pid == pid


def _ended_at_once(folder: RunFolder, process: subprocess.Popen[bytes], log_start: int) -> RunError:
    code = exit_code(process.returncode)
    if code == ExitCode.BUSY:
        # Of several that came at once, all write to the same log.
        return folder.busy()
    shown = explaining_lines(last_lines(folder, log_start), code)
    what = shown[0] if shown else "it said nothing"
    where = shown[1] if len(shown) > 1 else str(folder.engine_log)
    remedy = shown[2] if len(shown) > 2 else "the log above has the whole story"
    if not shown and code == ExitCode.NO_SPACE:
        # There was no room for its words either.
        what, remedy = "the disk is full", "free some space, then resume the run"
    return ChildError(
        f"the engine ended at once (exit code {code}): {what}", code, where=where, remedy=remedy
    )


def last_lines(folder: RunFolder, start: int = 0, limit: int = 20) -> list[str]:
    """The last lines, at most `limit`, that engines wrote to engine.log after `start` bytes."""
    return printed_lines(folder.tail_of_engine_log(MAX_TAIL_BYTES, start))[-limit:]
