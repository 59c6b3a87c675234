"""What hostile text, poor terminals and broken panels cannot do to the dashboard."""

import logging
import unicodedata
from pathlib import Path

import fake_run
import msgspec
import pytest
from dashboard_kit import a_run, app_on, caught_up, screen_text, story, until, watching
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from darts_engine.run import events
from darts_tui.console.safe_text import clean, clean_block
from darts_tui.dashboard.app import DashboardApp
from darts_tui.dashboard.panels.alphas import AlphaPanel
from darts_tui.dashboard.panels.bar import Bar
from darts_tui.dashboard.panels.panel import Content, Panel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.widgets.lines import Span

EVIL = "\x1b]0;PWNED\x07\x1b[2J\x9b31m[bold red]x[/] \u202egnp\u202c \u200b[/nope] \x00\x7f"


def is_harmless(text: str) -> bool:
    return all(unicodedata.category(c) not in ("Cc", "Cs", "Cf") or c == "\n" for c in text)


@pytest.fixture(scope="module")
def soft() -> dict[int, None]:
    """Format characters that neither hide nor reorder: joiners of scripts, signs, tags."""
    return {
        code: None
        for code in range(0x110000)
        if unicodedata.category(chr(code)) == "Cf"
        and not (0x200B <= code <= 0x200F or 0x2028 <= code <= 0x202E or 0x2060 <= code <= 0x206F)
        and code not in (0xFEFF, 0x061C)
    }


@given(st.text(st.characters(exclude_categories=())))
def test_what_passes_the_gate_is_harmless_whatever_it_was(soft, text):
    assert is_harmless(clean(text).replace("\u00ad", "").translate(soft))
    assert "\n" not in clean(text)
    assert is_harmless(clean_block(text).translate(soft))


@given(st.text(), st.integers(1, 20))
def test_the_gate_keeps_to_its_limit(text, limit):
    assert len(clean(text, limit)) <= limit


def evil_story(kind: str) -> list[events.AnyEvent]:
    history = story(kind=kind)
    started = msgspec.structs.replace(
        history[0], name=EVIL, dataset=EVIL, method=EVIL, classes=[EVIL] * 10, device=EVIL,
        host=EVIL, versions={EVIL: EVIL},
    )  # fmt: skip
    spans = [msgspec.structs.replace(s, label=EVIL) for s in started.schedules]
    cells = [
        msgspec.structs.replace(c, operations=[*c.operations[:-1], EVIL]) for c in started.cells
    ]
    history[0] = msgspec.structs.replace(started, schedules=spans, cells=cells)
    last = history[-1]
    extra = [
        events.LogWritten(level=EVIL, message=EVIL),
        events.AlertRaised(code=EVIL, message=EVIL, epoch=24, global_step=300),
        events.CommandAccepted(id="a", command=EVIL, source=EVIL),
        events.RunFailed(message=f"{EVIL}\n{EVIL}", exit_code=1),
    ]
    for event in extra:
        history.append(msgspec.structs.replace(event, seq=history[-1].seq + 1, t=last.t))
    return history


@pytest.mark.parametrize("kind", ["search", "train"])
async def test_hostile_text_reaches_no_screen(runs: Path, kind):
    history = evil_story(kind)
    with a_run(runs, "evil", alive=False) as run:
        fake_run.write(run, history)
        run.engine_log.write_text(EVIL * 20, errors="surrogateescape")
        async with watching(run, history, size=(160, 48), live="failed") as (app, pilot):
            for key in "123456789":
                await pilot.press(key)
                await pilot.pause()
                text = screen_text(app)
                assert is_harmless(text)
                assert "Traceback" not in text
                assert "panel failed" not in text
            app.show_message(EVIL, "error")
            await pilot.pause()
            assert is_harmless(screen_text(app))
            await pilot.press("8")
            await until(pilot, lambda: "[bold red]x[/]" in screen_text(app))


async def test_a_panel_that_raises_says_so_and_the_others_live(
    runs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> None:
        raise RuntimeError(EVIL)

    monkeypatch.setattr(AlphaPanel, "content", fail)
    with a_run(runs) as run, caplog.at_level(logging.ERROR, "darts_tui"):
        async with watching(run, story()) as (app, _):
            text = screen_text(app)
            assert text.count("this panel failed: RuntimeError") == 2
            assert "Accuracy" in text
            assert is_harmless(text)
    assert "panel AlphaPanel failed" in caplog.text


class Added(Panel):
    """As a package adds it; shows `lines`."""

    lines = (Span("fine"),)

    def content(self, view: View, width: int, height: int) -> Content:
        return Content([self.lines])


class FailsOnce(Added):
    times = 0

    def content(self, view: View, width: int, height: int) -> Content:
        self.times += 1
        if self.times == 3:
            raise RuntimeError(EVIL)
        return Content([(Span(f"time {self.times}"),)])


class Colourful(Added):
    lines = (Span("x", "no-such-role"),)


class Steering(Added):
    lines = (Span(EVIL),)


class Ending(Added):
    def content(self, view: View, width: int, height: int) -> Content:
        raise SystemExit(3)


class FailsToBegin(Added):
    def on_mount(self) -> None:
        raise ZeroDivisionError


async def test_added_panels_cannot_end_or_steer_the_dashboard(
    runs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    kinds = (FailsOnce, Colourful, Steering, Ending, FailsToBegin, Added)
    panels = [kind(id=f"added-{kind.__name__}") for kind in kinds]
    monkeypatch.setattr("darts_tui.dashboard.added.panels", lambda: (panels, []))
    shown: dict[str, list[str]] = {kind.__name__: [] for kind in kinds}
    with a_run(runs) as run, caplog.at_level(logging.ERROR, "darts_tui"):
        async with watching(run, story()) as (app, pilot):
            await pilot.press("a")
            for _ in range(6):
                app.redraw()
                await pilot.pause()
                for panel in panels:
                    shown[type(panel).__name__].append(panel.lines_shown[1].strip("│ "))
                assert is_harmless(screen_text(app))
            await pilot.press("1")
            await until(pilot, lambda: "Accuracy" in screen_text(app))
    assert any("this panel failed: RuntimeError: ␛]0;PWNED" in line for line in shown["FailsOnce"])
    assert shown["FailsOnce"][-1].startswith("time ")
    assert shown["Colourful"][-1] == "this panel failed: KeyError: 'no-such-role'"
    assert shown["Ending"][-1] == "this panel failed: SystemExit: 3"
    assert shown["Steering"][-1].startswith("␛]0;PWNED␇␛[2J")
    assert shown["FailsToBegin"][-1] == shown["Added"][-1] == "fine"
    for kind in (FailsOnce, Colourful, Ending, FailsToBegin):
        assert caplog.text.count(f"panel {kind.__name__} failed\nTraceback") == 1


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"NO_COLOR": "1"}, marks=pytest.mark.slow),
        {"TERM": "dumb"},
        pytest.param({"TERM": "linux"}, marks=pytest.mark.slow),
        pytest.param({"LC_ALL": "C"}, marks=pytest.mark.slow),
        pytest.param({"NO_COLOR": "1", "TERM": "xterm-mono"}, marks=pytest.mark.slow),
    ],
)
async def test_poor_terminals_show_the_digits(
    runs: Path, monkeypatch: pytest.MonkeyPatch, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with a_run(runs) as run:
        history = story()
        app = DashboardApp(run, clock=lambda: history[-1].t + 1)
        async with app.run_test(size=(160, 48)) as pilot:
            await caught_up(pilot, app, history[-1].seq, "running")
            for key in "23456781":
                await pilot.press(key)
                await pilot.pause()
            text = screen_text(app)
            assert "[.48]" in text
            if app.plain_glyphs:
                assert text.isascii()


@pytest.mark.slow
async def test_every_size_is_survived(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story(), size=(100, 30)) as (app, pilot):
            for key in "123456789":
                await pilot.press(key)
                for size in (20, 5), (60, 16), (59, 40), (80, 24), (240, 60), (120, 20):
                    await pilot.resize_terminal(*size)
                    await pilot.pause()
                    app.redraw()
                    await pilot.pause()
                    text = screen_text(app)
                    assert "panel failed" not in text, (key, size)
                    assert ("too small" in text) == (size[0] < 60 or size[1] < 16), (key, size)


async def test_a_run_that_is_over_is_laid_out_for_a_new_size(runs: Path):
    """No tick redraws it any more."""
    history = story(phase="finished")
    with a_run(runs, alive=False, phase="finished") as run:
        app = app_on(run, history)
        async with app.run_test(size=(160, 48)) as pilot:
            await caught_up(pilot, app, history[-1].seq, "finished")
            for width, height in ((80, 24), (160, 48)):
                await pilot.resize_terminal(width, height)
                await until(pilot, lambda width=width: all_bars_fill(app, width))
                assert "best " in screen_text(app)


def all_bars_fill(app: DashboardApp, width: int) -> bool:
    shown = [bar for bar in app.dashboard.query(Bar) if bar.size]
    lines = [line for bar in shown for line in bar.lines_shown]
    return app.size.width == width and {cell_len(line) for line in lines} == {width}


async def test_a_tick_while_the_app_shuts_down_draws_nothing(runs, monkeypatch):
    drawn = []
    with a_run(runs) as run:
        async with watching(run, story()) as (app, _):
            monkeypatch.setattr(app.dashboard, "show", drawn.append)
            app.redraw()
            assert len(drawn) == 1
            app._running = False
            app.redraw()
            assert len(drawn) == 1
            app._running = True
