"""Textual's terminal driver with job control that also survives a SIGCONT without a stop.

Textual 8.2.8 enters application mode again at every SIGCONT. When the process had not stopped
before (systemd ends a session with SIGTERM and SIGCONT), or was stopped by SIGSTOP, which no
program is told of, it takes the raw modes for those to be restored at the end, and reads the
terminal with two threads. This driver compares the terminal with what it has set, and enters again
only if another program has changed it.
"""

import contextlib
import signal
import termios
import threading
from collections.abc import Callable
from typing import Any

from textual.drivers.linux_driver import LinuxDriver

from darts_tui.console.terminal_modes import is_in_foreground, write_reset


class JobControlDriver(LinuxDriver):
    """The Linux and macOS driver; SIGTSTP, SIGSTOP and SIGCONT may come at any moment."""

    _is_active = False
    _is_stopping = False
    _set: list[Any] | None = None

    def start_application_mode(self) -> None:
        """Enter application mode, and keep the settings that it has set."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        # A read in the background fails then, instead of stopping and blocking the input thread.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        self._is_active, self._set = True, self._settings()

    def stop_application_mode(self) -> None:
        """Leave application mode."""
        self._is_active = False
        super().stop_application_mode()

    def is_apart(self) -> bool:
        """Whether the terminal is not the app's now, because it stops or is in the background."""
        return self._is_stopping or not is_in_foreground()

    def yield_terminal(self) -> None:
        """Stop until the shell continues the job: it has taken the terminal away.

        That is so when only the parent was stopped, of which no signal tells.
        """
        if not self._is_stopping:
            self._is_stopping = True
            self._soon(self._yield)

    def _sigtstp_application(self, *_: object) -> None:
        # A shell's signal reaches the process itself and, once more, through its parent.
        if not self._is_stopping:
            self._is_stopping = True
            self._soon(self._stop)

    def _sigcont_application(self, *_: object) -> None:
        self._soon(self._continue)

    def _soon(self, call: Callable[[], None]) -> None:
        # The loop has ended if the app has left already.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    def _stop(self) -> None:
        """Leave application mode, stop until the shell continues the job, and enter again."""
        if self._is_active:
            self.suspend_application_mode()
            self._stay_stopped()
            self._enter_again()
        self._is_stopping = False

    def _yield(self) -> None:
        if self._is_active and not is_in_foreground():
            write_reset()
            self._stay_stopped()
            self.suspend_application_mode()
            self._enter_again()
        self._is_stopping = False

    def _continue(self) -> None:
        """Enter application mode again if another program had the terminal meanwhile."""
        if not self._is_active or self._is_stopping:
            return
        if not is_in_foreground():
            self._stay_stopped()
        if self._settings() != self._set:
            self.suspend_application_mode()
            self._enter_again()
        else:
            self._app.refresh(layout=True)

    def _enter_again(self) -> None:
        self.resume_application_mode()
        self._app.refresh(layout=True)

    def _stay_stopped(self) -> None:
        """Stop; once continued, stop again until the shell has given this job the terminal."""
        while True:
            # To this thread, because it then stops before it goes on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            if is_in_foreground():
                return

    def _settings(self) -> list[Any] | None:
        try:
            return termios.tcgetattr(self.fileno)
        except termios.error:
            return None
