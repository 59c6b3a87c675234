"""The dashboard on a made-up run, and waiting for it without sleeping."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import fake_run
import fake_story
from textual.pilot import Pilot

from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder
from darts_tui.dashboard.app import DashboardApp

DEADLINE_S = 15.0
SIZES = {"small": (80, 24), "medium": (120, 36), "wide": (160, 48)}


def story(**kwargs: object) -> list[AnyEvent]:
    """The events of a made-up run."""
    return fake_story.made_up_events(**kwargs)  # type: ignore[arg-type]


@contextlib.contextmanager
def a_run(
    runs: Path, name: str = "digits-darts-s2", *, alive: bool = True, **kwargs: object
) -> Iterator[RunFolder]:
    """A run folder with a story, held by an engine unless `alive` is false."""
    run = fake_run.make_run(runs, name, **kwargs)  # type: ignore[arg-type]
    with contextlib.ExitStack() as stack:
        if alive:
            stack.enter_context(fake_run.engine_alive(run))
        yield run


def app_on(
    run: RunFolder, made_up_events: Iterable[AnyEvent], *, theme: str = "dark"
) -> DashboardApp:
    """The dashboard with a clock that stands one second after the last event."""
    last = max(event.t for event in made_up_events)
    return DashboardApp(run, theme=theme, clock=lambda: last + 1, glyphs="braille")


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Let the app work until the condition holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        await pilot.pause(0.01)


async def caught_up(pilot: Pilot[int], app: DashboardApp, seq: int, live: str) -> None:
    """Wait until all events are folded, the engine's state is known, and the screen shows both."""
    await until(pilot, lambda: app.state.last_seq >= seq and app.view().live == live)
    await until(pilot, lambda: not app.view().loading)
    app.redraw()
    await pilot.pause()
    app.redraw()
    await pilot.pause()


@contextlib.asynccontextmanager
async def watching(
    run: RunFolder,
    made_up_events: list[AnyEvent],
    *,
    size: tuple[int, int] = (120, 36),
    live: str = "running",
    theme: str = "dark",
) -> AsyncIterator[tuple[DashboardApp, Pilot[int]]]:
    """The dashboard, running, with the whole story on screen."""
    app = app_on(run, made_up_events, theme=theme)
    async with app.run_test(size=size) as pilot:
        await caught_up(pilot, app, made_up_events[-1].seq, live)
        yield app, pilot


async def at_rest(pilot: Pilot[int], app: DashboardApp) -> None:
    """Wait until two drawings of the screen are equal."""
    before = None
    while (now := screen_text(app)) != before:
        before = now
        app.redraw()
        await pilot.pause()


def screen_text(app: DashboardApp) -> str:
    """All characters on the screen."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)
