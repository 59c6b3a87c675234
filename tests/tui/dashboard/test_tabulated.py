"""The tabulated accuracy of the genotype: on the panel, in the past, in lines, in a table."""

import csv
from pathlib import Path

import fake_run
import msgspec
import pytest
from dashboard_kit import SIZES, a_run, screen_text, story, watching

from darts_engine.run import events
from darts_engine.run.state import fold_all
from darts_tui.console.event_text import note
from darts_tui.export.tables import TABULATED_COLUMNS, tabulated_table


def tabulated(table: str = "nasbench201") -> list[events.AnyEvent]:
    """A story in which a table knows every genotype; cifar10 is 90 and the epoch's hundredth."""
    reported: list[events.AnyEvent] = []
    for event in story():
        reported.append(msgspec.structs.replace(event, seq=len(reported) + 1))
        if isinstance(event, events.GenotypeDerived):
            place = {n: getattr(event, n) for n in ("epoch", "step", "global_step")}
            values = {"cifar10-valid": 88.5, "cifar10": 90 + event.epoch / 100}
            found = events.AccuracyTabulated(table=table, values=values, t=event.t, **place)
            reported.append(msgspec.structs.replace(found, seq=len(reported) + 1))
    return reported


def shown(epoch: int) -> str:
    return f"nasbench201: cifar10-valid 88.50 %, cifar10 90.{epoch:02d} %"


# The panel shows it on the overview if there is room, else on the tab of the cells.
PLACES = {
    "small": ("4", "nasbench201: cifar10-valid 88.50 %"),
    "medium": ("1", "Genotype  cifar10 90."),
    "wide": ("1", "nasbench201: cifar10-valid 88.50 %,"),
}


@pytest.mark.parametrize("size", SIZES)
async def test_the_panel_shows_it_and_scrubbing_goes_back(runs: Path, size: str):
    tab, figure = PLACES[size]
    history = tabulated()
    with a_run(runs) as run:
        fake_run.write(run, history)
        async with watching(run, history, size=SIZES[size]) as (app, pilot):

            async def after(key: str) -> str:
                await pilot.press(key)
                app.redraw()
                await pilot.pause()
                # The event list below has it too.
                return screen_text(app).rpartition(" table ")[0] or screen_text(app)

            now = app.state.genotype
            assert now is not None
            text = await after(tab)
            assert figure in text
            assert f"cifar10 90.{now.epoch:02d} %" in text
            text = await after("left_curly_bracket")
            then = app.state.genotype_at(app.view().epoch)
            assert then is not None
            assert then.epoch < now.epoch
            assert f"cifar10 90.{then.epoch:02d} %" in text


async def test_a_run_without_tables_shows_nothing_of_them(runs: Path):
    history = story()
    with a_run(runs) as run:
        async with watching(run, history) as (app, _):
            assert "nasbench" not in screen_text(app)


@pytest.mark.slow
async def test_a_foreign_table_cannot_write_to_the_terminal(runs: Path):
    history = tabulated("\x1b]0;pwned\x07")
    with a_run(runs) as run:
        fake_run.write(run, history)
        async with watching(run, history) as (app, _):
            assert "pwned" in screen_text(app)
            assert "\x1b" not in screen_text(app)


def test_tail_prints_it_in_a_line() -> None:
    event = next(f for f in tabulated() if isinstance(f, events.AccuracyTabulated))
    assert note(event) == ("table", "info", shown(event.epoch))


def test_the_exported_table_has_a_row_for_each_figure() -> None:
    state = fold_all(tabulated())
    header, *rows = csv.reader(tabulated_table(state.tabulated).decode().splitlines())
    assert tuple(header) == TABULATED_COLUMNS
    assert len(rows) == 2 * len(state.tabulated)
    last = state.tabulated[-1]
    where = [str(n) for n in (last.epoch, last.step, last.global_step)]
    assert rows[-1] == [*where, "nasbench201", "cifar10", str(last.values["cifar10"])]
