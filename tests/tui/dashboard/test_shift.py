"""The mean shift and the gap on the dashboard, and calling a user who does not watch."""

from pathlib import Path

import fake_run
import msgspec
import pytest
from dashboard_kit import a_run, app_on, caught_up, screen_text, story, until, watching
from tests.tui.dashboard.test_keys import append, commands
from tests.tui.dashboard.test_training_panels import text_of, view

from darts_engine.run import events
from darts_tui.dashboard.app import DashboardApp
from darts_tui.dashboard.driver import SafeDriver
from darts_tui.dashboard.panels.panel import Panel
from darts_tui.dashboard.panels.shift import ShiftPanel

ALERT = events.AlertRaised(code="entropy", message="low \x1b]0;pwned\x07", epoch=24, global_step=1)


@pytest.fixture(scope="module")
def shifting() -> list[events.AnyEvent]:
    return story(method="ms-darts", epochs_done=4)


async def test_a_mean_shift_search_shows_its_samples_on_the_health_tab(runs: Path, shifting):
    with a_run(runs) as run:
        fake_run.write(run, shifting)
        async with watching(run, shifting) as (app, pilot):
            assert "Mean shift" in screen_text(app)
            await pilot.press("6")
            app.redraw()
            await pilot.pause()
            shown = screen_text(app)
    for word in ("Mean shift", "sample 6", "bandwidth 1", "eigenvalue", "gap, own BN", "margin"):
        assert word in shown


async def test_other_searches_have_no_such_panel(runs: Path):
    history = story(epochs_done=3)
    with a_run(runs, epochs_done=3) as run:
        async with watching(run, history) as (app, pilot):
            await pilot.press("6")
            app.redraw()
            await pilot.pause()
            assert "Mean shift" not in screen_text(app)


async def test_d_requests_the_gap_once_and_shows_the_result(runs: Path):
    history = story()
    with a_run(runs) as run:
        async with watching(run, history) as (app, pilot):
            await pilot.press("d")
            await until(pilot, lambda: len(commands(run)) == 1)
            await pilot.press("d")
            (command,) = commands(run)
            assert command["type"] == "discretise"
            measured = next(
                f for f in story(method="ms-darts") if isinstance(f, events.GapMeasured)
            )
            seq = history[-1].seq
            done = events.CommandDone(
                seq=seq + 2, id=command["id"], command="discretise", seconds=1
            )
            append(run, msgspec.structs.replace(measured, seq=seq + 1), done)
            await caught_up(pilot, app, seq + 2, "running")
            assert any("cut to its genotype" in toast.message for toast in app._notifications)


def test_the_panel_survives_losses_that_are_not_finite(shifting):
    broken = [
        msgspec.structs.replace(f, losses=[None, None]) if isinstance(f, events.MeanShifted) else f
        for f in shifting
    ]
    panel: Panel = ShiftPanel()
    assert "sample 2" in text_of(panel, view(broken))


async def test_a_bell_rings_for_an_alert_when_asked(runs: Path, monkeypatch: pytest.MonkeyPatch):
    history, rung = story(), []
    monkeypatch.setattr(DashboardApp, "bell", lambda _app: rung.append(1))
    with a_run(runs) as run:
        app = app_on(run, history)
        app._how_to_notify = "bell"
        async with app.run_test() as pilot:
            await caught_up(pilot, app, history[-1].seq, "running")
            assert not rung
            append(run, msgspec.structs.replace(ALERT, seq=history[-1].seq + 1))
            await until(pilot, lambda: bool(rung))


def test_a_desktop_notification_carries_no_escape_of_its_text(monkeypatch: pytest.MonkeyPatch):
    written: list[str] = []
    driver = object.__new__(SafeDriver)
    monkeypatch.setattr(SafeDriver, "write", lambda _self, text: written.append(text))
    monkeypatch.setattr(SafeDriver, "flush", lambda _self: None)
    driver.notify_desktop(ALERT.message)
    (text,) = written
    assert text.startswith("\x1b]9;darts-tui: low")
    assert text.endswith("\x07")
    assert text.count("\x1b") == 1
    assert text.count("\x07") == 1
