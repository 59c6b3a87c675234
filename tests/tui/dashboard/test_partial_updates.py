"""Only changed stretches are sent, and the terminal ends up as with Textual's own update."""

import random

import pyte
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from darts_tui.dashboard.partial_updates import render_segments

WIDTH, HEIGHT = 40, 6


def line(draws: random.Random, width: int) -> Strip:
    cells = [
        Segment(draws.choice("abcdef"), Style(color=draws.choice(["red", "blue"])))
        for _ in range(width)
    ]
    return Strip(cells, width)


def shown(*codes: str) -> list[str]:
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.Stream(screen)
    for code in codes:
        stream.feed(code)
    return screen.display


def test_a_terminal_shows_the_same_as_after_a_full_repaint():
    draws, console = random.Random(1), Console(force_terminal=True, color_system="truecolor")
    for _ in range(50):
        cut = draws.randint(1, WIDTH - 1)
        before, after = (
            [{0: line(draws, cut), cut: line(draws, WIDTH - cut)} for _ in range(HEIGHT)]
            for _ in "ab"
        )
        ends = [[cut, WIDTH]] * HEIGHT
        spans = []
        for y in range(HEIGHT):
            first = draws.randint(0, WIDTH - 1)
            spans.append((y, first, draws.randint(first + 1, WIDTH)))
        everything = [(y, 0, WIDTH) for y in range(HEIGHT)]
        start = render_segments(ChopsUpdate(before, everything, ends), console)
        assert shown(start) == [before[y][0].text + before[y][cut].text for y in range(HEIGHT)]
        screen = shown(start, render_segments(ChopsUpdate(after, spans, ends), console))
        for y, first, last in spans:
            old = before[y][0].text + before[y][cut].text
            new = after[y][0].text + after[y][cut].text
            assert screen[y] == old[:first] + new[first:last] + old[last:]


def test_nothing_left_of_a_stretch_is_sent_again():
    console = Console(force_terminal=True, color_system="truecolor")
    chops = [{0: Strip([Segment("left", Style()), Segment("right", Style(bold=True))], 9)}]
    narrow = render_segments(ChopsUpdate(chops, [(0, 4, 9)], [[9]]), console)
    assert "left" not in narrow
    assert "right" in narrow
    assert "left" in ChopsUpdate(chops, [(0, 4, 9)], [[9]]).render_segments(console), (
        "Textual does it by itself now: partial_updates.py can go"
    )
