"""Which characters are drawn, and what `doctor` says about them: one decision."""

import os
import subprocess
import sys

import pytest

from darts_tui.commands.doctor import unicode
from darts_tui.console.locale_of import encoding
from darts_tui.dashboard.terminal import glyphs

# Variables, whether Python found the locale C, and the encoding.
CASES = [
    ({"LANG": "C"}, True, "ascii"),
    ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True, "ascii"),
    ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False, "utf-8"),
    ({"LANG": "POSIX"}, True, "ascii"),
    ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, True, "ascii"),
    ({"LC_ALL": "C.UTF-8", "LANG": "C"}, False, "utf-8"),
    ({"LANG": "en_US.UTF-8"}, False, "utf-8"),
    ({"LC_CTYPE": "C.UTF-8"}, True, "utf-8"),
    ({}, True, "utf-8"),
    ({"LANG": "C", "LC_CTYPE": "C.UTF-8", "PYTHONUTF8": "1"}, True, "utf-8"),
]


@pytest.mark.parametrize(("environment", "mode", "wanted"), CASES)
def test_the_locale_decides_the_encoding(environment, mode, wanted):
    assert encoding(environment, utf8_mode=mode).lower() == wanted


@pytest.mark.parametrize(
    ("environment", "drawn"),
    [({"LANG": "C"}, "ascii"), ({"LANG": "en_US.UTF-8"}, "braille"),
     ({"LANG": "C", "DARTS_TUI_GLYPHS": "block"}, "block")],
)  # fmt: skip
def test_doctor_says_what_the_dashboard_draws(environment, drawn):
    assert glyphs(environment, encoding(environment)) == drawn
    assert f"curves are drawn in {drawn}" in unicode(environment).text


@pytest.mark.parametrize(("lang", "drawn"), [("C", "ascii"), ("C.UTF-8", "braille")])
def test_python_s_own_change_of_the_locale_is_not_taken_for_the_user_s(lang, drawn):
    names = ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONUTF8", "DARTS_TUI_GLYPHS", "TERM")
    plain = {key: value for key, value in os.environ.items() if key not in names}
    script = "from darts_tui.dashboard.terminal import glyphs_here; print(glyphs_here())"
    done = subprocess.run(
        [sys.executable, "-c", script], env=plain | {"LANG": lang, "TERM": "xterm"},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout == f"{drawn}\n"
