"""The real program on a real pseudo-terminal: how it leaves, and what it survives."""

import os
import random
import re
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from dashboard_kit import a_run

from darts_tui.dashboard.driver import InputFilter
from darts_tui.dashboard.terminal import glyphs

LEFT = ("?1049l", "?1000l", "?1003l", "?25h", "?2004l")
PROGRAM = (
    "import sys; from pathlib import Path; from darts_engine.run.folder import RunFolder;"
    "from darts_tui.dashboard.app import watch; sys.exit(watch(RunFolder(Path(sys.argv[1]))))"
)


class Watcher:
    """The dashboard in a pseudo-terminal of its own."""

    def __init__(self, run, **environment: str) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        env = {
            **os.environ,
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "COLORTERM": "truecolor",
            "PYTHONPATH": paths,
        }
        self.run = run
        self.output = b""
        self.child = pexpect.spawn(
            sys.executable,
            ["-c", PROGRAM, str(run.path)],
            dimensions=(36, 120),
            env={**env, **environment},
            timeout=20,
        )
        self.child.delaybeforesend = None
        self.before = termios.tcgetattr(self.child.child_fd)

    def see(self, text: str) -> None:
        """Read until the text has come."""
        deadline = time.monotonic() + 20
        while text.encode() not in self.output:
            assert time.monotonic() < deadline, self.output[-2000:]
            self.read()

    def read(self, timeout: float = 0.1) -> bytes:
        try:
            data = self.child.read_nonblocking(1 << 16, timeout)
        except (pexpect.TIMEOUT, pexpect.EOF):
            data = b""
        self.output += data
        return data

    def end(self) -> int:
        """The exit code, a signal as 128 + its number."""
        deadline = time.monotonic() + 20
        while self.child.isalive():
            assert time.monotonic() < deadline, "it does not end"
            self.read()
        while self.read():
            pass
        code = self.child.exitstatus
        return code if code is not None else 128 + self.child.signalstatus


@pytest.fixture
def run(runs: Path) -> Iterator:
    with a_run(runs, phase="paused") as run:
        yield run


@pytest.mark.parametrize(
    ("how", "code"),
    [("q", 0), ("\x03", 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)],
)
def test_however_it_ends_the_terminal_is_as_before(run, how, code):
    watcher = Watcher(run)
    watcher.see("PAUSED")
    watcher.child.send(how) if isinstance(how, str) else watcher.child.kill(how)
    assert watcher.end() == code
    for sequence in LEFT:
        assert f"\x1b[{sequence}".encode() in watcher.output
    assert termios.tcgetattr(watcher.child.child_fd) == watcher.before


def test_a_closed_terminal_ends_the_watcher(run):
    watcher = Watcher(run)
    watcher.see("PAUSED")
    os.close(watcher.child.child_fd)
    deadline = time.monotonic() + 10
    while (pid := os.waitpid(watcher.child.pid, os.WNOHANG)[0]) == 0:
        assert time.monotonic() < deadline, "it outlives its terminal"
        select.select([], [], [], 0.05)
    assert pid == watcher.child.pid
    watcher.child.closed = True


def test_old_mouse_reports_and_noise_neither_crash_it_nor_press_keys(run):
    watcher = Watcher(run)
    watcher.see("PAUSED")
    stochastic = random.Random(1)
    for _ in range(300):
        watcher.child.send(b"\x1b[M" + bytes(stochastic.choices(range(32, 256), k=3)))
    watcher.child.send(bytes(stochastic.choices(range(0x80, 0x100), k=500)))
    watcher.child.send("\x1b[<35;10;10M")
    watcher.child.send("?")
    watcher.see("pause, resume")
    watcher.child.send("?q")
    assert watcher.end() == 0
    assert not run.commands.exists()


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "linux"}, {"LANG": "C"}]
)
def test_it_runs_on_poor_terminals(run, environment):
    watcher = Watcher(run, **environment)
    watcher.see("PAUSED")
    watcher.see("[.48]")
    watcher.child.send("q")
    assert watcher.end() == 0
    if "NO_COLOR" in environment:
        triples = re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", watcher.output)
        assert triples
        assert all(len(set(triple)) == 1 for triple in triples), "only greys are left"


@pytest.mark.slow
def test_a_paused_run_sends_nothing(run):
    watcher = Watcher(run)
    watcher.see("PAUSED")
    deadline = time.monotonic() + 20
    while watcher.read(timeout=1.0):
        assert time.monotonic() < deadline, "it does not come to rest"
    assert watcher.read(timeout=1.5) == b""
    watcher.child.send("q")
    assert watcher.end() == 0


def test_a_mouse_report_cut_in_two_is_dropped_whole():
    source = InputFilter()
    assert source.feed(b"a\x1b[M p") == "a"
    assert source.feed(b"\xffb") == "b"
    assert source.feed(b"\xc3") + source.feed(b"\xa9") == "é"
    assert source.feed(b"\xff") == "\ufffd"
    assert source.feed(b"\x1b[<0;1;1M") == "\x1b[<0;1;1M"


@pytest.mark.parametrize("end", [b"\x07", b"\x1b\\"])
@pytest.mark.parametrize("answer", [b"\x1b]11;rgb:ffff/ffff/ffff", b"\x1bP>|tmux 3.4"])
def test_an_answer_to_somebody_elses_question_is_no_keys(answer, end):
    source = InputFilter()
    assert source.feed(b"a" + answer + end + b"b") == "ab"
    for cut in range(2, len(answer + end)):
        assert source.feed((answer + end)[:cut]) + source.feed((answer + end)[cut:] + b"c") == "c"
    assert source.feed(b"\x1bOP") == "\x1bOP"
    # Alt and a bracket: nothing follows.
    assert source.feed(b"\x1b]") == ""
    source.idle()
    assert source.feed(b"q") == "q"


@pytest.mark.parametrize(
    ("environ", "encoding", "expected"),
    [
        ({"TERM": "xterm-256color"}, "UTF-8", "braille"),
        ({"TERM": "linux"}, "utf-8", "block"),
        ({"TERM": "dumb"}, "UTF-8", "ascii"),
        ({"TERM": "xterm"}, "ANSI_X3.4-1968", "ascii"),
        ({"TERM": "linux", "DARTS_TUI_GLYPHS": "braille"}, "UTF-8", "braille"),
    ],
)
def test_curves_use_what_the_terminal_can_show(environ, encoding, expected):
    assert glyphs(environ, encoding) == expected
