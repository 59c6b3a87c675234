"""Runs the dashboard in a child process, and restores the terminal if the dashboard could not.

A process that is killed cannot restore its terminal. Its parent can, and the shell waits for the
parent. The parent is the launcher itself: it forks before Textual is imported, so that it stays
small and starts nothing twice. Both are in one process group, as a shell expects of a job:

- Signals to the parent that end programs are passed on, and the exit code is the dashboard's.
- When the dashboard stops, the parent restores the terminal and stops too; a shell's `fg`
  continues both.
- When the parent is gone, the dashboard ends as by SIGTERM.
"""

import contextlib
import os
import signal
import sys
import termios
import threading
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, NoReturn

from darts_engine.run.errors import ExitCode, RunError
from darts_tui.console.console import print_error, report_crash
from darts_tui.console.terminal_modes import (
    ENDING,
    Modes,
    is_in_foreground,
    save_cursor,
    write_reset,
)
from darts_tui.launch.child_error import exit_code

PASSED_ON = (*ENDING, signal.SIGTSTP, signal.SIGCONT)
# Longer than a dashboard takes that can still end by itself.
PATIENCE_S = 5.0
# A stop that is shorter is none that a person or a shell has asked for.
BRIEF_S = 0.05
IN_ORDER = b"1"


class Ending(NamedTuple):
    """How the dashboard ended.

    Attributes:
        code: the exit code, 128 + the signal's number for a signal.
        killed_by: the signal that killed it, if it is none that ends programs in the usual way;
            else 0.
    """

    code: int
    killed_by: int = 0


def supervised(show: Callable[[], int]) -> Ending:
    """Run the dashboard in a child process and wait until it has ended.

    Without a terminal, or another process, it runs in this process.

    Args:
        show: runs the dashboard; returns the exit code.
    """
    if not is_in_foreground():
        # Stop as any program does that was started with & and draws; `fg` continues it.
        signal.pthread_kill(threading.get_ident(), signal.SIGTTOU)
    try:
        modes = Modes()
    except termios.error:
        return Ending(show())
    parent_lives, parent_end = os.pipe()
    done, child_end = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    save_cursor()
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        pid = _fork()
    except OSError:
        # No more processes for this user: the dashboard does without a parent.
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        return Ending(show())
    if pid == 0:
        os.close(parent_end)
        os.close(done)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        _be_the_child(show, parent_lives, child_end)
    os.close(parent_lives)
    os.close(child_end)
    parent = _Parent(pid, modes)
    before = {number: signal.getsignal(number) for number in PASSED_ON}
    try:
        for number in PASSED_ON:
            # What nohup ignores stays ignored.
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, parent.pass_on)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        status = parent.wait()
        left_in_order = os.read(done, 1) == IN_ORDER
        if not (left_in_order or parent.is_terminal_whole) or (
            is_in_foreground() and modes.have_changed()
        ):
            modes.restore()
    finally:
        os.close(parent_end)
        os.close(done)
        for number, handler in before.items():
            signal.signal(number, handler)
    return parent.ending(os.waitstatus_to_exitcode(status))


def _fork() -> int:
    with warnings.catch_warnings():
        # The one other thread waits for the engine and holds nothing that the child uses.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be_the_child(show: Callable[[], int], parent_lives: int, done: int) -> NoReturn:
    threading.Thread(target=_leave_with_parent, args=(parent_lives,), daemon=True).start()
    code = int(ExitCode.FAILED)
    try:
        try:
            code = show()
        except RunError as error:
            code = print_error(error)
        except Exception as error:  # noqa: BLE001  the rest of the command is the parent's
            report_crash(error)
        # After an error too: Textual has left application mode, and the error is on the screen.
        os.write(done, IN_ORDER)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def _leave_with_parent(parent_lives: int) -> None:
    os.read(parent_lives, 1)
    if not is_in_foreground():
        # The shell has its terminal back already, and the dashboard would leave it as it is.
        write_reset()
    os.kill(os.getpid(), signal.SIGTERM)


class _Parent:
    """What the parent knows of the child process `pid`."""

    def __init__(self, pid: int, modes: Modes) -> None:
        self._pid, self._modes = pid, modes
        # While the child has stopped: it enters application mode again in the foreground only.
        self.is_terminal_whole = False
        self._asked_by, self._has_ended = 0, False
        self._last_resort = threading.Timer(PATIENCE_S, self._send, (signal.SIGKILL,))
        self._last_resort.daemon = True

    def pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal to this process."""
        if self._has_ended:
            return
        self._send(number)
        if number in ENDING:
            # A stopped process ends only when it is continued.
            self._send(signal.SIGCONT)
            if not self._asked_by:
                self._asked_by = number
                self._last_resort.start()

    def wait(self) -> int:
        """Wait for the child's end, and stop whenever it stops. Returns its wait status."""
        status = self._next_status()
        while os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
            if os.WIFSTOPPED(status):
                time.sleep(BRIEF_S)
                pid, newer = os.waitpid(self._pid, os.WCONTINUED | os.WNOHANG)
                if pid:
                    status = newer
                    continue
                self._stop_too()
            else:
                # It may have looked at the terminal before it was restored here.
                self._send(signal.SIGCONT)
            status = self._next_status()
        self._has_ended = True
        self._last_resort.cancel()
        return status

    def ending(self, returncode: int) -> Ending:
        """The ending of a child with this exit code, negative for a signal."""
        if returncode >= 0:
            return Ending(returncode)
        if self._asked_by and -returncode in (self._asked_by, signal.SIGKILL):
            return Ending(128 + self._asked_by)
        return Ending(exit_code(returncode), 0 if -returncode in ENDING else -returncode)

    def _next_status(self) -> int:
        return os.waitpid(self._pid, os.WUNTRACED | os.WCONTINUED)[1]

    def _stop_too(self) -> None:
        if is_in_foreground():
            if self._modes.have_changed():
                self._modes.restore()
            self.is_terminal_whole = True
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        # Without a shell that could continue it, the kernel drops this signal.
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        if is_in_foreground():
            self.is_terminal_whole = False

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)
