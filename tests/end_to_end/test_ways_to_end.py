"""Every way to end the dashboard leaves the terminal as it was, and the engine alone.

`--full` tries each way five times.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest
from effort import times
from engine_kit import FAKE_ENGINE, until
from house_kit import House
from terminal_kit import LEAVING, Terminal, children, is_running, kill, state_of_process

from darts_engine.run.folder import RunFolder

ROUNDS = range(times(1, full=5))
# `darts-tui` with a stand-in for the engine, and a key that breaks the dashboard if asked for.
DARTS = f"""
import sys
from darts_tui.launch import engine_process
engine_process.ENGINE = (sys.executable, {str(FAKE_ENGINE)!r}, "obey")
if "BROKEN" in __import__("os").environ:
    from darts_tui.dashboard.app import DashboardApp
    DashboardApp.action_help = lambda app: 1 / 0
from darts_tui.cli.main import main
main()
"""


class Watched:
    """A search in a terminal: its launcher, its dashboard and its engine."""

    def __init__(self, house: House, **environment: str) -> None:
        command = [sys.executable, "-P", "-c", DARTS, "search", "--name", "one"]
        self.terminal = Terminal(command, house.with_(environment), directory=house.home)
        house.terminals.append(self.terminal)
        self.terminal.shows("one", "Normal cell", "q Detach")
        self.run = RunFolder(house.runs / "one")
        record = self.run.read_engine()
        assert record is not None
        self.launcher, self.engine = self.terminal.pid, record.pid
        (self.dashboard,) = set(children(self.launcher)) - {self.engine}

    def press(self, keys: str) -> None:
        self.terminal.press(keys)

    def send(self, *numbers: signal.Signals, to: str = "dashboard") -> None:
        """Send signals to the dashboard, the launcher, or both (group)."""
        for number in numbers:
            if to == "group":
                os.killpg(self.launcher, number)
            else:
                os.kill(getattr(self, to), number)

    def stop(self, number: signal.Signals, to: str = "dashboard") -> None:
        """Stop the dashboard and wait until it has."""
        self.send(number, to=to)
        until(lambda: state_of_process(self.dashboard) == "T", 10)

    def go_on(self) -> None:
        """Continue the dashboard and wait until it has drawn its screen again."""
        self.send(signal.SIGCONT)
        self.terminal.shows("Normal cell", "q Detach")


def broken(watched: Watched) -> None:
    watched.press("?")


def stopped_and_continued(watched: Watched) -> None:
    watched.stop(signal.SIGSTOP)
    watched.go_on()
    watched.press("q")


def suspended_and_continued(watched: Watched) -> None:
    watched.stop(signal.SIGTSTP)
    until(lambda: b"\x1b[?1049l" in watched.terminal.sent, 5)
    watched.go_on()
    watched.press("q")


def ended_while_stopped(watched: Watched) -> None:
    watched.stop(signal.SIGSTOP)
    watched.send(signal.SIGTERM, signal.SIGCONT)


def continued_and_left(watched: Watched) -> None:
    watched.send(*50 * [signal.SIGCONT])
    watched.press("q")


def sent(*names: str, to: str = "dashboard") -> Callable[[Watched], None]:
    return lambda watched: watched.send(*(signal.Signals[f"SIG{n}"] for n in names), to=to)


# The first four also in the quick part of the suite.
WAYS: list[tuple[str, Callable[[Watched], None], int]] = [
    ("KILL", sent("KILL"), 137),
    ("TERM and CONT to both, as systemd does", sent("TERM", "CONT", to="group"), 143),
    ("STOP, CONT, q", stopped_and_continued, 0),
    ("USR1 to the launcher", sent("USR1", to="launcher"), 138),
    ("q", lambda watched: watched.press("q"), 0),
    ("ctrl+c", lambda watched: watched.press("\x03"), 0),
    ("TERM", sent("TERM"), 143),
    ("HUP", sent("HUP"), 129),
    ("INT", sent("INT"), 130),
    ("QUIT", sent("QUIT"), 131),
    ("USR1", sent("USR1"), 138),
    ("USR2", sent("USR2"), 140),
    ("ALRM", sent("ALRM"), 142),
    ("XCPU", sent("XCPU"), 152),
    ("ABRT", sent("ABRT"), 134),
    ("SEGV", sent("SEGV"), 139),
    ("BUS", sent("BUS"), 135),
    ("TERM, CONT", sent("TERM", "CONT"), 143),
    ("CONT without a stop, q", continued_and_left, 0),
    ("TSTP, CONT, q", suspended_and_continued, 0),
    ("STOP, TERM, CONT", ended_while_stopped, 143),
    ("TERM to the launcher", sent("TERM", to="launcher"), 143),
    ("KILL to the launcher", sent("KILL", to="launcher"), -9),
    ("HUP to both", sent("HUP", to="group"), 129),
    ("TERM, 50 times", sent(*50 * ["TERM"], to="launcher"), 143),
    ("an error in the dashboard", broken, 1),
]


@pytest.fixture
def watched(house: House, request: pytest.FixtureRequest) -> Iterator[Watched]:
    environment = {"BROKEN": "1"} if request.node.callspec.params.get("end") is broken else {}
    watched = Watched(house, **environment)
    yield watched
    kill(watched.engine)


@pytest.mark.parametrize("_round", ROUNDS)
@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(end, code, id=name, marks=[] if place < 4 else pytest.mark.slow)
        for place, (name, end, code) in enumerate(WAYS)
    ],
)
def test_every_way_to_end_leaves_the_terminal_whole(
    watched: Watched, end: Callable[[Watched], None], code: int, _round: int
) -> None:
    screen = watched.terminal
    assert screen.modes != screen.modes_before
    end(watched)
    assert screen.wait(10) == code
    until(lambda: not is_running(watched.dashboard), 10)
    assert screen.modes == screen.modes_before
    last = bytes(screen.sent[screen.sent.rfind(b"\x1b[?1049h") :])
    assert [mode for mode in LEAVING if mode not in last] == []
    assert watched.run.is_locked()
    assert is_running(watched.engine)
    assert not watched.run.commands.exists()
    if code in (134, 135, 137, 139):
        assert "the dashboard was killed by signal" in screen.text()
        assert "come back with 'darts-tui attach one'" in screen.text()


@pytest.fixture
def shell(house: House) -> Terminal:
    """A shell with job control."""
    command = ["bash", "--norc", "--noprofile", "-i"]
    shell = Terminal(command, house.with_({"PS1": "ready> "}), directory=house.home)
    house.terminals.append(shell)
    shell.shows("ready>")
    return shell


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "to"),
    [
        (signal.SIGTSTP, "group"),
        (signal.SIGSTOP, "dashboard"),
        (signal.SIGSTOP, "launcher"),
        (signal.SIGSTOP, "group"),
    ],
)
def test_a_stopped_job_gives_the_shell_its_terminal_and_fg_comes_back(
    house: House, shell: Terminal, paused: RunFolder, number: signal.Signals, to: str
) -> None:
    shell.press(f"{sys.executable} -P -m darts_tui attach {paused.name}; echo code $?\n")
    shell.shows("Normal cell", "q Detach")
    launcher, dashboard = children(shell.pid)
    target = {"launcher": launcher, "dashboard": dashboard, "group": launcher}[to]
    (os.killpg if to == "group" else os.kill)(target, number)
    until(lambda: state_of_process(launcher) == state_of_process(dashboard) == "T", 10)

    shell.press("echo so$((40 + 2))\n")
    shell.shows("so42")
    if (number, to) != (signal.SIGSTOP, "group"):
        # Nobody is left to restore it when both are stopped by force.
        for mode in ("1049", "1003"):
            off, on = (f"\x1b[?{mode}{end}".encode() for end in "lh")
            assert shell.sent.rfind(off) > shell.sent.rfind(on)
    shell.press("fg\n")
    shell.shows("Normal cell", "q Detach")
    until(lambda: shell.modes[3] != shell.modes_before[3], 10)
    shell.press("q")
    shell.shows("come back with")
    is_sane(shell)
    until(lambda: children(shell.pid) == [], 10)


def is_sane(shell: Terminal) -> None:
    """Keys are shown and lines are edited."""
    shell.press("\nstty -a\n")
    shell.until(lambda text: " icanon" in text and " echo " in text)


@pytest.mark.slow
def test_a_killed_launcher_leaves_the_shell_a_whole_terminal(
    shell: Terminal, paused: RunFolder
) -> None:
    shell.press(f"{sys.executable} -P -m darts_tui attach {paused.name}\n")
    shell.shows("Normal cell", "q Detach")
    launcher, dashboard = children(shell.pid)
    os.kill(launcher, signal.SIGKILL)
    until(lambda: not is_running(dashboard), 10)
    until(lambda: shell.sent.rfind(b"\x1b[?1049l") > shell.sent.rfind(b"\x1b[?1049h"), 5)
    assert shell.sent.rfind(b"\x1b[?1003l") > shell.sent.rfind(b"\x1b[?1003h")
    is_sane(shell)


@pytest.mark.slow
def test_a_dashboard_started_in_the_background_waits_for_fg(
    shell: Terminal, paused: RunFolder
) -> None:
    shell.press(f"{sys.executable} -P -m darts_tui attach {paused.name} &\n")
    until(lambda: [state_of_process(pid) for pid in children(shell.pid)] == ["T"], 20)
    assert b"\x1b[?1049h" not in shell.sent
    shell.press("fg\n")
    shell.shows("Normal cell", "q Detach")
    shell.press("q")
    shell.shows("come back with")
    is_sane(shell)
