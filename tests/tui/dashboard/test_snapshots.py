"""Snapshots of the screens at three sizes."""

import re
from pathlib import Path

import pytest
from dashboard_kit import SIZES, a_run, app_on, at_rest, caught_up, story
from textual.pilot import Pilot

from darts_tui.dashboard.app import DashboardApp

# All sizes, of which one in the quick part.
ONE_SIZE = [
    size if size == "medium" else pytest.param(size, marks=pytest.mark.slow) for size in SIZES
]
OVERVIEWS = [
    ("search", size, theme)
    for size, theme in (*((s, "dark") for s in SIZES), ("wide", "light"), ("wide", "high-contrast"))
]


@pytest.fixture
def looks_the_same(snap_compare, runs: Path):
    """Press keys on a made-up run and compare the screen with the one in `__snapshots__`."""

    def check(
        kind: str,
        size: str,
        theme: str = "dark",
        keys: tuple[str, ...] = (),
        space: str = "darts",
    ) -> bool:
        name = "digits-darts-s2" if kind == "search" else "digits-train"
        events = story(kind=kind, space=space)
        with a_run(runs, name, kind=kind, space=space) as run:
            app: DashboardApp = app_on(run, events, theme=theme)

            async def prepare(pilot: Pilot[int]) -> None:
                await caught_up(pilot, app, events[-1].seq, "running")
                for key in keys:
                    await pilot.press(key)
                    await pilot.pause()
                await at_rest(pilot, app)

            return snap_compare(app, terminal_size=SIZES[size], run_before=prepare)

    return check


@pytest.mark.parametrize(("kind", "size", "theme"), OVERVIEWS)
def test_overview(looks_the_same, kind, size, theme):
    assert looks_the_same(kind, size, theme)


@pytest.mark.parametrize("size", SIZES)
def test_alpha(looks_the_same, size):
    assert looks_the_same("search", size, keys=("2",))


@pytest.mark.parametrize("size", SIZES)
def test_training(looks_the_same, size):
    assert looks_the_same("train", size)


@pytest.mark.parametrize("size", ONE_SIZE)
def test_help(looks_the_same, size):
    assert looks_the_same("search", size, keys=("question_mark",))


@pytest.mark.parametrize("size", ONE_SIZE)
def test_stop_dialog(looks_the_same, size):
    assert looks_the_same("search", size, keys=("x",))


@pytest.mark.parametrize("tab", ["3", "4", "5", "6", "7", "8"])
def test_other_tabs(looks_the_same, tab):
    assert looks_the_same("search", "medium", keys=(tab,))


def test_an_earlier_epoch(looks_the_same):
    assert looks_the_same("search", "wide", keys=("left_curly_bracket",))


def test_no_snapshot_holds_a_path_of_this_machine():
    for file in (Path(__file__).parent / "__snapshots__").rglob("*"):
        if file.is_file():
            assert not re.search(r"/(work|root|home|tmp)/", file.read_text("utf-8")), file.name
