"""The notices about an engine that starts, died, hangs, failed or ended; and other runs."""

import os
from pathlib import Path

import fake_run
import msgspec
import pytest
from dashboard_kit import DashboardApp, a_run, screen_text, story, until, watching

from darts_engine.run import events, folder
from darts_engine.run.settings.config import SearchConfig
from darts_tui.dashboard.run_list import list_entries, read_entry
from darts_tui.dashboard.screens.layout import lay_out


async def test_before_the_first_event_a_card_shows_what_the_engine_prints(runs: Path):
    run = folder.create(runs, "fresh", SearchConfig())
    with fake_run.engine_alive(run):
        run.engine_log.write_text("importing torch\n")
        app = DashboardApp(run)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "importing torch" in screen_text(app))
            assert "STARTING" in screen_text(app)
            await pilot.press("p", "c", "x", "e", "left_square_bracket", *"23456789")
            assert not run.commands.exists()
            run.events.write_bytes(events.encode(story()[0]))
            await until(pilot, lambda: "RUNNING" in screen_text(app))


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_dead_engine_names_the_command_that_goes_on(runs: Path, size):
    with a_run(runs, alive=False) as run:
        run.engine_log.write_text("Killed by the kernel\n")
        async with watching(run, story(), live="dead", size=size) as (app, _):
            text = screen_text(app)
            assert "DEAD" in text
            assert "darts-tui resume digits-darts-s2" in text
            assert "Killed by the kernel" in text
            assert "heard at epoch 24, step 5." in text, "no sentence is cut off"


async def test_a_long_notice_leaves_room_for_the_run_and_the_list_fits(runs: Path):
    history = story(phase="failed")
    message = "\n".join(["a loss of many words " * 20] * 3)
    history[-1] = msgspec.structs.replace(history[-1], message=message)
    with a_run(runs, alive=False, phase="failed") as run:
        fake_run.write(run, history)
        async with watching(run, history, live="failed", size=(80, 24)) as (app, pilot):
            assert "Normal cell" in screen_text(app)
            assert " more ─╮" in screen_text(app).splitlines()[2]
            await pilot.press("9")
            await until(pilot, lambda: "▸ digits-dart" in screen_text(app))
            assert "seen  │" in screen_text(app)
            assert " ago  │" in screen_text(app)


async def test_a_failed_run_shows_its_message_line_by_line(runs: Path):
    history = story(phase="failed")
    with a_run(runs, alive=False, phase="failed") as run:
        async with watching(run, history, live="failed", size=(80, 24)) as (app, _):
            text = screen_text(app)
            assert "Failed: the training loss is not a finite number" in text
            assert "lower --lr" in text


async def test_a_silent_engine_is_called_stalled(runs: Path):
    with a_run(runs) as run:
        os.utime(run.engine, (1_000_000, 1_000_000))
        async with watching(run, story(), live="stalled") as (app, _):
            assert "STALLED" in screen_text(app)


async def test_a_rewind_is_followed(runs: Path):
    history = story()
    with a_run(runs) as run:
        async with watching(run, history) as (app, pilot):
            at = next(f for f in history if getattr(f, "global_step", 0) == 110)
            back = events.Rewound(
                seq=history[-1].seq + 1,
                t=history[-1].t,
                to_seq=at.seq,
                to_step=110,
                to_epoch=10,
                checkpoint="c",
            )
            with run.events.open("ab") as file:
                file.write(events.encode(back))
            await until(pilot, lambda: "epoch 10/50" in screen_text(app))


def test_an_entry_of_the_list_is_the_same_from_the_end_of_a_huge_log(runs: Path, monkeypatch):
    with a_run(runs) as run:
        whole = read_entry(run)
        monkeypatch.setattr("darts_tui.runs.outcome.SMALL_BYTES", 0)
        monkeypatch.setattr("darts_tui.runs.outcome.BLOCK_BYTES", 40_000)
        assert run.events.stat().st_size > 80_000
        assert read_entry(run) == whole
        assert (whole.kind, whole.state, whole.epoch, whole.epochs) == ("search", "running", 24, 50)


def test_the_list_has_all_runs_and_survives_broken_ones(runs: Path):
    with a_run(runs, alive=False, phase="finished") as run:
        broken = fake_run.make_run(runs, "broken")
        broken.config.write_text("kind = 3")
        broken.events.write_bytes(b"\x00\xff\n{}\n" * 10)
        assert {g.folder.name: g.state for g in list_entries(run)} == {
            "digits-darts-s2": "finished",
            "broken": "starting",
        }


@pytest.mark.parametrize("edges", [0, 2, 5, 14, 20, 90])
@pytest.mark.parametrize("cells", [1, 2])
def test_bands_never_take_more_rows_than_there_are(edges, cells):
    for width in range(60, 300, 7):
        for height in range(16, 120):
            for notice in (0, 4, 7):
                bands = lay_out(width, height, edges, cells, notice)
                rows = bands.alpha + bands.vitals + bands.curves + bands.figures_rows + bands.events
                assert rows <= height - 4 - notice
                assert min(bands.alpha, bands.curves, bands.events) >= 0


async def test_the_smallest_skip_share_is_a_percentage_like_the_newest(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story(), size=(160, 48)) as (app, pilot):
            await pilot.press("6")
            await until(pilot, lambda: "skip normal" in screen_text(app))
            lines = screen_text(app).splitlines()
            (at,) = [at for at, line in enumerate(lines) if "skip normal" in line]
            shares = [100 * reported.skip_share["normal"] for reported in app.state.edge_figures]
            assert min(shares) > 1
            assert f"{shares[-1]:.1f} %" in lines[at]
            assert f"min {min(shares):.4g}" in lines[at + 1]
