"""However a dashboard dies, the engine goes on; where it can, it leaves the terminal in order."""

import os
import signal

import pytest
from engine_kit import until
from house_kit import House, events_of, goes_on
from terminal_kit import LEAVING, Terminal

from darts_engine.run import events

EXITS = [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]


def dashboard(house: House) -> Terminal:
    terminal = house.terminal("attach", "long")
    terminal.shows("long", "RUNNING", "Normal cell", "[.")
    return terminal


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(*pair, id=pair[0].name, marks=[] if pair == EXITS[0] else pytest.mark.slow)
        for pair in EXITS
    ],
)
def test_a_signal_ends_the_dashboard_in_order(lived_in: House, number: signal.Signals, code: int):
    screen = dashboard(lived_in)
    assert screen.modes != screen.modes_before, "it reads keys one by one while it runs"
    os.kill(screen.pid, number)
    assert screen.wait() == code
    assert screen.modes == screen.modes_before
    for sequence in LEAVING:
        assert sequence in screen.sent[screen.sent.rfind(b"\x1b[?1049h") :]
    goes_on(lived_in.run("long"))


@pytest.mark.slow
def test_ctrl_c_in_the_terminal_detaches(lived_in: House):
    screen = dashboard(lived_in)
    screen.press("\x03")
    assert screen.wait() == 0
    assert screen.modes == screen.modes_before
    assert "come back with 'darts-tui attach long'" in screen.text()
    goes_on(lived_in.run("long"))


@pytest.mark.slow
def test_a_killed_dashboard_leaves_the_engine_alone(lived_in: House):
    screen = dashboard(lived_in)
    os.kill(screen.pid, signal.SIGKILL)
    assert screen.wait() == -signal.SIGKILL
    goes_on(lived_in.run("long"))


def test_reset_terminal_mends_what_a_killed_dashboard_left(lived_in: House):
    screen = lived_in.terminal("reset-terminal")
    assert screen.wait() == 0
    assert all(sequence in screen.sent for sequence in LEAVING)


@pytest.mark.slow
def test_a_closed_window_ends_the_dashboard_and_not_the_engine(lived_in: House):
    screen = dashboard(lived_in)
    screen.hang_up()
    assert screen.process.wait(5) == 129
    goes_on(lived_in.run("long"))


def test_what_is_asked_for_just_before_q_is_carried_out(lived_in: House):
    screen = dashboard(lived_in)
    run = lived_in.run("long")
    before = len(events_of(run, events.CommandDone))
    screen.press("ccc9q")
    assert screen.wait() == 0
    assert "Warning" not in screen.text()
    until(lambda: len(events_of(run, events.CommandDone)) == before + 3, 15)
