"""What a terminal can show, how a dashboard leaves it, and where its own faults are written."""

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
# Longer than leaving a live terminal ever takes, short enough for a logout.
LAST_RESORT_S = 3.0


def glyphs(environ: Mapping[str, str], encoding: str) -> str:
    """What curves are drawn with: braille, block (the Linux console) or ascii."""
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

    Textual's default is to die with the alternate screen and mouse reports still on. After a
    hang-up nobody may read what is written any more, so a timer ends the process where the
    ordinary way blocks. The handlers are the interpreter's own, not the event loop's: those wait
    for the loop, which itself waits while a terminal takes no output.
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
    """Where a user's own themes live."""
    return Path(platformdirs.user_config_dir(APP_NAME)) / "themes"


def log_file() -> Path:
    """Where the dashboard writes its own faults."""
    return Path(platformdirs.user_cache_dir(APP_NAME)) / "dashboard.log"


def log_to_file() -> None:
    """Send the package's log to a file: nothing of it may reach the screen.

    A folder that cannot be written costs the log, never the dashboard.
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
    """What Rich would print of these, without colours."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(*renderables)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def last_words(name: str) -> str:
    """What a dashboard that failed leaves on the screen of the run `name`."""
    return (
        "The dashboard failed; the engine is not affected.\n"
        f"{log_file()} has the reason.\n"
        f"'darts-tui attach {name}' comes back."
    )
