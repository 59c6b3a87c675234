"""The terminal: its characters, the signals that end the dashboard, and the dashboard's own log."""

import asyncio
import io
import locale
import logging
import logging.handlers
import os
import signal
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.app import App

APP_NAME = "darts-tui"
HANGUP_EXIT, INTERRUPT_EXIT, TERMINATE_EXIT = 129, 130, 143
_EXITS = {
    signal.SIGHUP: HANGUP_EXIT,
    signal.SIGINT: INTERRUPT_EXIT,
    signal.SIGTERM: TERMINATE_EXIT,
}
# Longer than the app needs to leave a live terminal, short enough for a logout.
LAST_RESORT_S = 3.0


def glyphs(environ: Mapping[str, str], encoding: str) -> str:
    """The characters for curves: braille, block (on the Linux console) or ascii."""
    chosen = environ.get("DARTS_TUI_GLYPHS", "")
    if chosen in ("braille", "block", "ascii"):
        return chosen
    if environ.get("TERM", "") == "dumb" or "utf" not in encoding.lower():
        return "ascii"
    return "block" if environ.get("TERM", "") == "linux" else "braille"


def glyphs_here() -> str:
    """`glyphs` for this process."""
    wanted = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    if wanted in ("C", "POSIX"):
        return glyphs(os.environ, "ascii")
    return glyphs(os.environ, locale.getpreferredencoding(do_setlocale=False))


def leave_on_signals(app: "App[int]") -> None:
    """Make SIGTERM, SIGHUP and SIGINT end the app the ordinary way, which restores the terminal.

    Without handlers, the alternate screen and mouse reports stay on. After a hang-up the terminal
    may read no more, and the ordinary way may block; a timer ends the process then. The handlers
    are the interpreter's, because those of the event loop wait for the loop, which blocks while a
    terminal takes no output.
    """
    loop = asyncio.get_running_loop()

    def leave(number: int, _frame: FrameType | None) -> None:
        code = _EXITS[signal.Signals(number)]
        last_resort = threading.Timer(LAST_RESORT_S, os._exit, (code,))
        last_resort.daemon = True
        last_resort.start()
        loop.call_soon_threadsafe(partial(app.exit, code, return_code=code))

    for number in _EXITS:
        signal.signal(number, leave)


def themes_folder() -> Path:
    """The folder of the user's own themes."""
    return Path(platformdirs.user_config_dir(APP_NAME)) / "themes"


def log_file() -> Path:
    """The file of the dashboard's own errors."""
    return Path(platformdirs.user_cache_dir(APP_NAME)) / "dashboard.log"


def log_to_file() -> None:
    """Send the package's log to a file, and nothing of it to the screen.

    Without a writable folder there is no log.
    """
    logger = logging.getLogger("darts_tui")
    logger.propagate = False
    try:
        log_file().parent.mkdir(parents=True, exist_ok=True)
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
