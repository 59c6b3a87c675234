"""Which characters a terminal takes, by the locale of its environment."""

import locale
import os
import sys
from collections.abc import Mapping

PLAIN = ("C", "POSIX")
# What Python sets LC_CTYPE to where the locale is C (PEP 538). Nobody has asked for it.
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


def encoding(environ: Mapping[str, str] = os.environ, *, utf8_mode: bool | None = None) -> str:
    """The encoding that the environment asks for: "ascii" in the locale C.

    Args:
        environ: the variables of the process.
        utf8_mode: whether Python found the locale C and has turned its UTF-8 mode on; None looks.
    """
    mode = bool(sys.flags.utf8_mode) if utf8_mode is None else utf8_mode
    ctype = environ.get("LC_CTYPE", "")
    if mode and ctype in COERCED and "PYTHONUTF8" not in environ:
        ctype = ""
    wanted = environ.get("LC_ALL") or ctype or environ.get("LANG") or ""
    return "ascii" if wanted in PLAIN else locale.getpreferredencoding(do_setlocale=False)
