"""Starting an engine: a process in a session of its own, its output in a file, never a pipe.

Nothing that happens to the launcher's terminal reaches the engine, and the engine never waits for
anyone to read what it says.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from darts_engine.run.errors import ExitCode, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import Config
from darts_engine.run.threads import num_threads
from darts_tui.console.safe_text import clean

# -P keeps the working folder out of the import path: a torch.py beside the user's data is not ours.
ENGINE = (sys.executable, "-P", "-m", "darts_engine")
# What torchrun and its like tell their processes. An engine of ours is in no such job.
PLACE_IN_A_JOB = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
START_PATIENCE_S = 60.0
POLL_S = 0.02
SHOWN_LINES = 3


class EngineDiedError(RunError):
    """The engine ended before it held its run; carries the exit code it ended with."""

    def __init__(self, what: str, code: int, *, where: str, remedy: str) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.exit_code = code  # type: ignore[assignment]


def start(
    folder: RunFolder, config: Config, *, nproc: int = 1, program: Sequence[str] | None = None
) -> subprocess.Popen[bytes]:
    """Start an engine for the run and wait until it holds it.

    The process is reaped by a thread as soon as it ends, so that it never looks alive when dead.

    Args:
        folder: the run, with its config written.
        config: decides the number of threads.
        nproc: processes that share the run; the engine starts and ends the others itself.
        program: the command that the run folder's path is appended to; the engine unless given.

    Raises:
        BusyError: another engine already holds the run.
        EngineDiedError: the engine ended at once; what it said is in the message.
        RunError: the run cannot be locked, or no process be made.
    """
    try:
        os.close(folder.take_lock())
    except OSError as error:
        raise RunError(
            f"the run cannot be locked: {error.strerror}",
            where=str(folder.lock),
            remedy="mend the folder's rights; 'darts-tui doctor' looks whether locks work there",
        ) from None
    said_before = _log_size(folder)
    process = _spawn(folder, config, nproc, program or ENGINE)
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()
    deadline = time.monotonic() + START_PATIENCE_S
    try:
        while not _held(folder, process.pid) and time.monotonic() < deadline:
            if process.poll() is not None:
                if process.returncode == 0 or _held(folder, process.pid):
                    break
                raise _died(folder, process, said_before)
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        process.terminate()
        raise
    return process


def exit_code(returncode: int) -> int:
    """What a shell would say of a process: 128 + the signal's number for a killed one."""
    return returncode if returncode >= 0 else 128 - returncode


def _spawn(
    folder: RunFolder, config: Config, nproc: int, program: Sequence[str]
) -> subprocess.Popen[bytes]:
    # Spinning OpenMP workers make a busy machine slower by an order of magnitude.
    environment = os.environ | {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(num_threads(config.engine.threads, nproc)),
    }
    for name in PLACE_IN_A_JOB:
        environment.pop(name, None)
    shared = ("--nproc", str(nproc)) if nproc > 1 else ()
    try:
        log = os.open(
            folder.engine_log,
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
        )
        try:
            return subprocess.Popen(
                [*program, str(folder.path.resolve()), *shared],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
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


def _held(folder: RunFolder, pid: int) -> bool:
    """Whether the process became the run's engine, which it records once it has the lock."""
    record = folder.read_engine()
    return record is not None and record.pid == pid


def _log_size(folder: RunFolder) -> int:
    try:
        return folder.engine_log.stat().st_size
    except OSError:
        return 0


def _died(folder: RunFolder, process: subprocess.Popen[bytes], said_before: int) -> EngineDiedError:
    code = exit_code(process.returncode)
    lines = last_words(folder, said_before)
    # Exit code 1 may be a traceback, of which the last line says most; others are explanations.
    told = lines if code != ExitCode.FAILED and len(lines) <= SHOWN_LINES else lines[-1:]
    what = told[0] if told else "it said nothing"
    where = told[1] if len(told) > 1 else str(folder.engine_log)
    remedy = told[2] if len(told) > 2 else "the log above has the whole story"
    return EngineDiedError(
        f"the engine ended at once (exit code {code}): {what}", code, where=where, remedy=remedy
    )


def last_words(folder: RunFolder, start: int = 0, limit: int = 20) -> list[str]:
    """The last lines, at most `limit`, of what engines said in engine.log after `start` bytes."""
    try:
        with folder.engine_log.open("rb") as file:
            file.seek(max(start, _log_size(folder) - 64_000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [clean(line, 300) for line in text.splitlines() if line.strip()][-limit:]
