"""Noise on the keyboard and a window that never stops changing: the dashboard stays alive."""

import random
import time
from collections.abc import Callable

import pytest
from engine_kit import until
from house_kit import House, goes_on
from terminal_kit import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PIECES = (
    b"\x1b[M", b"\x1b[<0;10;10M", b"\x1b[<64;999999;1m", b"\x1b[200~", b"\x1b[201~", b"\x1b[I",
    b"\x1b[O", b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\", b"\x1bP", b"\x1b[?1;2c", b"\x1b[", b"\x1bO",
    b"\x1b[27;5;9~", b"\x1b[1;5A", b"\xff\xfe", b"\xc3", b"\xf0\x9f", "é中".encode(), b"\x00",
    b"\x1b[97u", b"\x1b[?2026;2$y", b"\x1b[8;0;0t", b"\x1b[48;48;160;0;0t",
)  # fmt: skip
LOG = "cache/darts-tui/dashboard.log"
# A thousand keys a second are more than it draws; what it owes then takes this long on a busy core.
CATCHES_UP_S = 120.0
# Keys that leave, stop or pause on purpose: noise must not happen to mean them. "z" means nothing.
MEANT = bytes.maketrans(b"qpxcen:\x03\x10\x11\r", b"zzzzzzzzzzz")


def answers(screen: Terminal) -> None:
    """It is back on the overview after any dialog, and a key still does something."""
    press_until(screen, b"\x1b8", lambda text: "Normal cell" not in text and "RUNNING" in text)
    press_until(screen, b"1", lambda text: "Normal cell" in text and "Events" in text)


def press_until(screen: Terminal, keys: bytes, true_of: Callable[[str], bool]) -> None:
    """As a person would: press, look for a moment, press again."""
    deadline = time.monotonic() + CATCHES_UP_S
    while True:
        for key in keys:
            screen.press(bytes([key]))
            time.sleep(0.3)
        if true_of(text := screen.text()):
            return
        assert time.monotonic() < deadline, text


def test_noise_on_the_keyboard_ends_nothing(lived_in: House):
    screen = lived_in.terminal("attach", "long")
    screen.shows("RUNNING", "Normal cell")
    draws = random.Random(0)
    for turn in range(500):
        noise = b"".join(
            draws.choice(PIECES)
            if draws.random() < 0.4
            else draws.randbytes(draws.randint(1, 9)).translate(MEANT)
            for _ in range(draws.randint(1, 4))
        )
        screen.press(noise)
        time.sleep(0.01)
        if turn % 20 == 0:
            assert screen.process.poll() is None, (turn, (lived_in.home / LOG).read_text())
    answers(screen)
    screen.press("q")
    assert screen.wait(CATCHES_UP_S) == 0, (lived_in.home / LOG).read_text()
    assert screen.modes == screen.modes_before
    goes_on(lived_in.run("long"))


def test_a_storm_of_sizes_ends_nothing(lived_in: House):
    screen = lived_in.terminal("attach", "long")
    screen.shows("RUNNING", "Normal cell")
    draws = random.Random(1)
    for turn in range(50):
        screen.resize(draws.randint(20, 300), draws.randint(5, 100))
        if turn % 10 == 0:
            screen.press(draws.choice("123456789?\x1bnt"))
        time.sleep(0.03)
        assert screen.process.poll() is None, (turn, (lived_in.home / LOG).read_text())
    screen.resize(1, 1)
    time.sleep(0.3)
    screen.resize(160, 48)
    answers(screen)
    screen.press("q")
    assert screen.wait(CATCHES_UP_S) == 0, (lived_in.home / LOG).read_text()
    until(lambda: screen.modes == screen.modes_before, 5)
