"""The terminal: its characters, the signals that end the dashboard, and the dashboard's own log."""

import asyncio
import contextlib
import faulthandler
import io
import logging
import logging.handlers
import os
import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import platformdirs

from darts_tui.console.locale_of import encoding
from darts_tui.console.terminal_modes import ENDING, reset_patiently

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.app import App

APP_NAME = "darts-tui"
# Longer than the app needs to leave a live terminal, short enough for a logout.
LAST_RESORT_S = 3.0


def glyphs(environ: Mapping[str, str], its_encoding: str) -> str:
    """The characters for curves: braille, block (on the Linux console) or ascii."""
    chosen = environ.get("DARTS_TUI_GLYPHS", "")
    if chosen in ("braille", "block", "ascii"):
        return chosen
    if environ.get("TERM", "") == "dumb" or "utf" not in its_encoding.lower():
        return "ascii"
    return "block" if environ.get("TERM", "") == "linux" else "braille"


def glyphs_here() -> str:
    """`glyphs` for this process."""
    return glyphs(os.environ, encoding())


def leave_on_signals(app: "App[int]", is_apart: Callable[[], bool]) -> None:
    """Make the signals of `ENDING` end the app the ordinary way, which restores the terminal.

    The exit code is 128 + the number of the first one. Without handlers, the alternate screen and
    mouse reports stay on. After a hang-up the terminal may read no more, and the ordinary way may
    block; a timer ends the process then. The handlers are the interpreter's, because those of the
    event loop wait for the loop, which blocks while a terminal takes no output.

    Args:
        app: the dashboard.
        is_apart: whether the terminal is not the app's now, because it stopped or is in the
            background. The process then ends at once, and sends nothing as long as its parent is
            there to do so.
    """
    parent = os.getppid()
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        code = 128 + number
        if is_apart():
            if os.getppid() != parent:
                # Between its death and this signal, the shell has taken its terminal back.
                reset_patiently()
            os._exit(code)
        if received:
            return
        received.append(number)
        last_resort = threading.Timer(LAST_RESORT_S, os._exit, (code,))
        last_resort.daemon = True
        last_resort.start()
        # The loop has ended if the app was leaving already.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(partial(app.exit, code, return_code=code))

    for number in ENDING:
        signal.signal(number, leave)


def themes_folder() -> Path:
    """The folder of the user's own themes."""
    return Path(platformdirs.user_config_dir(APP_NAME)) / "themes"


def log_file() -> Path:
    """The file of the dashboard's own errors."""
    return Path(platformdirs.user_cache_dir(APP_NAME)) / "dashboard.log"


def log_to_file() -> None:
    """Send the package's log to a file, and nothing of it to the screen.

    Without a writable folder there is no log. What a fault in a library (SIGSEGV, SIGABRT) was
    doing is written to it too.
    """
    logger = logging.getLogger("darts_tui")
    logger.propagate = False
    try:
        log_file().parent.mkdir(parents=True, exist_ok=True)
        # Open as long as the process lives.
        faulthandler.enable(log_file().open("ab", buffering=0))
        handler: logging.Handler = logging.handlers.RotatingFileHandler(
            log_file(), maxBytes=1_000_000, backupCount=1, encoding="utf-8", delay=True
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.handlers = [handler]


def as_text(*renderables: "RenderableType") -> str:
    """These renderables as plain text."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(*renderables)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def farewell(name: str) -> str:
    """The message that a failed dashboard of the run `name` leaves on the screen."""
    return (
        "The dashboard failed; the engine is not affected.\n"
        f"{log_file()} has the reason.\n"
        f"'darts-tui attach {name}' comes back."
    )
