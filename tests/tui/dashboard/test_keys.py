"""Every key does what the help lists."""

import json
from pathlib import Path

import fake_run
import msgspec
import pytest
from dashboard_kit import SIZES, a_run, caught_up, screen_text, story, until, watching
from textual.events import Key
from textual.widgets import OptionList

from darts_engine.run import events
from darts_tui.dashboard.actions import TABS
from darts_tui.dashboard.app import DashboardApp
from darts_tui.dashboard.screens.help import HelpScreen
from darts_tui.dashboard.screens.palette import PaletteScreen
from darts_tui.dashboard.screens.stop import StopDialog


def commands(run) -> list[dict]:
    try:
        return [json.loads(line) for line in run.commands.read_bytes().splitlines()]
    except FileNotFoundError:
        return []


def append(run, *history: events.AnyEvent) -> None:
    with run.events.open("ab") as file:
        file.write(b"".join(events.encode(event) for event in history))


async def test_p_requests_a_pause_and_shows_it_until_the_engine_holds(runs: Path):
    history = story()
    at = {"epoch": 24, "step": 5, "global_step": 258}
    with a_run(runs) as run:
        async with watching(run, history) as (app, pilot):
            await pilot.press("p")
            await until(pilot, lambda: len(commands(run)) == 1)
            assert commands(run)[0]["type"] == "pause"
            assert "PAUSING" in screen_text(app)
            seq = history[-1].seq
            append(
                run,
                events.RunPaused(seq=seq + 1, t=history[-1].t, reason="command", **at),
                events.CommandDone(
                    seq=seq + 2,
                    t=history[-1].t,
                    id=commands(run)[0]["id"],
                    command="pause",
                    seconds=0,
                ),
            )
            await caught_up(pilot, app, seq + 2, "paused")
            assert "PAUSED" in screen_text(app)
            assert "p Resume" in screen_text(app)
            await pilot.press("p")
            await until(pilot, lambda: len(commands(run)) == 2)
            assert commands(run)[1]["type"] == "resume"


async def test_a_refused_command_is_not_waited_for(runs: Path):
    history = story()
    with a_run(runs) as run:
        async with watching(run, history) as (app, pilot):
            await pilot.press("p")
            await until(pilot, lambda: len(commands(run)) == 1)
            append(
                run,
                events.CommandRejected(
                    seq=history[-1].seq + 1, t=1.0, id=commands(run)[0]["id"], reason="no"
                ),
            )
            await caught_up(pilot, app, history[-1].seq + 1, "running")
            assert "RUNNING" in screen_text(app)


async def test_c_requests_a_checkpoint(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story()) as (_, pilot):
            await pilot.press("c")
            await until(pilot, lambda: [w["type"] for w in commands(run)] == ["checkpoint"])


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        (["x", "n"], [False]),
        (["x", "e"], [True]),
        (["x", "enter"], [True]),
        (["x", "down", "enter"], [False]),
        (["x", "escape"], []),
        (["x", "c"], []),
        (["x", "down", "down", "enter"], []),
    ],
)
async def test_x_stops_now_or_after_the_epoch_or_not_at_all(runs: Path, keys, asked):
    with a_run(runs) as run:
        async with watching(run, story(), size=(80, 24)) as (app, pilot):
            await pilot.press(keys[0])
            await until(pilot, lambda: isinstance(app.screen, StopDialog))
            await pilot.press(*keys[1:])
            await until(pilot, lambda: not isinstance(app.screen, StopDialog))
            await until(pilot, lambda: len(commands(run)) == len(asked))
            assert [w.get("after_epoch", False) for w in commands(run)] == asked


async def test_a_stop_answered_after_the_end_of_the_run_is_not_sent(runs: Path):
    size = {"epochs_done": 3, "epochs": 4}
    with a_run(runs, alive=False, **size) as run:
        engine = fake_run.engine_alive(run)
        engine.__enter__()
        async with watching(run, story(**size)) as (app, pilot):
            await pilot.press("x")
            await until(pilot, lambda: isinstance(app.screen, StopDialog))
            run.events.write_bytes(b"".join(map(events.encode, story(phase="finished", **size))))
            engine.__exit__(None, None, None)
            await until(pilot, lambda: app.view().is_over)
            await pilot.press("n")
            refused = "there is nothing to stop"
            await until(pilot, lambda: any(refused in n.message for n in app._notifications))
            assert (run.commands.exists(), app.view().pending) == (False, "")


@pytest.mark.parametrize("key", ["p", "c", "x"])
async def test_steering_keys_on_a_finished_run_show_that_it_is_over(runs: Path, key):
    history = story(phase="finished")
    with a_run(runs, alive=False, phase="finished") as run:
        async with watching(run, history, live="finished") as (app, pilot):
            assert "p Pause" not in screen_text(app)
            await pilot.press(key)
            await until(pilot, lambda: len(app._notifications) == 1)
            assert "finished" in next(iter(app._notifications)).message
            assert commands(run) == []


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_q_and_ctrl_c_detach_with_exit_code_0(runs: Path, key):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            await pilot.press(key)
            await until(pilot, lambda: not app.is_running)
        assert app.return_code == 0
        assert commands(run) == []


async def test_number_keys_switch_tabs(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story(), size=(160, 48)) as (app, pilot):
            for tab in reversed(TABS):
                await pilot.press(tab.key)
                await until(pilot, lambda name=tab.name: app.dashboard.tab == name)
                await pilot.pause()
            assert "Normal cell" in screen_text(app)


async def test_brackets_scrub_all_panels_and_0_comes_back(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            now = screen_text(app)
            await pilot.press(*["left_square_bracket"] * 4, "left_curly_bracket")
            assert app.view().at_epoch == 10
            assert "epoch 10 of 24" in screen_text(app)
            assert screen_text(app).count("epoch 50") == now.count("epoch 50"), "axes stay"
            assert app.state.alpha_at(10).epoch == 10
            await pilot.press("right_square_bracket")
            assert app.view().at_epoch == 11
            await pilot.press("0")
            await pilot.pause()
            assert screen_text(app) == now


async def test_n_flips_the_cell_where_one_is_shown(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story(), size=(80, 24)) as (app, pilot):
            assert "Normal cell" in screen_text(app)
            await pilot.press("n")
            await pilot.pause()
            assert "Reduction cell" in screen_text(app)


async def test_s_smooths_and_y_makes_the_loss_logarithmic(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            await pilot.press("3", "s", "y")
            await pilot.pause()
            await until(pilot, lambda: "smoothed 0.6 · log" in screen_text(app))
            await pilot.press("s", "s", "y")
            await pilot.pause()
            await until(pilot, lambda: "smoothed" not in screen_text(app))


async def test_t_goes_through_the_themes(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            seen = [app.theme]
            for _ in app.themes:
                await pilot.press("t")
                seen.append(app.theme)
            assert seen[0] == seen[-1] == "dark"
            assert set(seen) == {"dark", "light", "high-contrast"}


@pytest.mark.parametrize("key", ["question_mark", "f1"])
async def test_help_opens_and_closes(runs: Path, key):
    with a_run(runs) as run:
        async with watching(run, story(), size=(80, 24)) as (app, pilot):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, HelpScreen))


@pytest.mark.parametrize("closing", ["escape", "enter"])
async def test_keys_that_wait_for_a_closed_dialog_close_nothing_else(runs: Path, closing):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            await pilot.press("colon")
            await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
            first = app.screen
            await until(pilot, lambda: first.focused)
            for _ in range(2):
                first._forward_event(Key(closing, None))
            # Both keys have reached it when it has ended.
            await until(pilot, lambda: app.screen is app.dashboard and not first.is_running)
            await pilot.pause()
            app.action_command_palette()
            # As late as a key may come: the next dialog is on its way.
            first.dismiss(None)
            assert isinstance(app.screen, PaletteScreen)
            await until(pilot, lambda: app.screen.focused)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.dashboard)
            await pilot.press("8")
            await until(pilot, lambda: app.dashboard.tab == "log")


@pytest.mark.parametrize("key", ["colon", pytest.param("ctrl+p", marks=pytest.mark.slow)])
async def test_the_palette_offers_our_commands(runs: Path, key):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
            await pilot.press(*"high-con")
            await until(pilot, lambda: "View: Log" not in screen_text(app))
            assert "Theme: high-contrast" in screen_text(app)
            await pilot.press("enter")
            await until(pilot, lambda: app.theme == "high-contrast")


async def test_every_offer_of_the_palette_has_one_line_at_80_columns(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story(), size=SIZES["small"]) as (app, pilot):
            await pilot.press("colon")
            await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
            offered = app.screen.query_one(OptionList)
            await until(pilot, lambda: offered.virtual_size.height)
            assert offered.virtual_size.height == offered.option_count


async def test_a_held_key_redraws_once_for_all_its_presses(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            drawn: list[int | None] = []
            show = app.dashboard.show
            app.dashboard.show = lambda view: (drawn.append(view.epoch), show(view))[0]
            for _ in range(20):
                app.action_scrub(-1)
                app.action_scrub(1)
            app.action_scrub(-1)
            await until(pilot, lambda: drawn)
            await pilot.pause()
            assert len(drawn) < 4
            assert drawn[-1] == app.state.epoch - 1


async def test_a_held_t_changes_colours_once_for_all_its_presses(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            taken: list[str] = []
            app.theme_changed_signal.subscribe(app, lambda theme: taken.append(theme.name))
            names = list(app.themes)
            for _ in range(20):
                app.post_message(Key("t", "t"))
            await until(pilot, lambda: app.theme == names[20 % len(names)])
            await pilot.pause()
            assert app.theme == names[20 % len(names)]
            assert len(taken) < 4


async def test_tab_moves_between_panels_and_arrows_scroll(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story(), size=(80, 20)) as (app, pilot):
            assert "4→5" not in screen_text(app)
            await pilot.press("tab", "end")
            await pilot.pause()
            assert app.focused is not None
            assert "4→5" in screen_text(app)
            await pilot.press("shift+tab")


async def test_enter_in_the_list_of_runs_watches_another(runs: Path):
    other = story(kind="train", phase="finished")
    with a_run(runs, "other", kind="train", phase="finished", alive=False), a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            await pilot.press("9")
            await until(pilot, lambda: "other" in screen_text(app))
            await pilot.press("down", "up", "home", "end")
            panel = app.dashboard.query_one("#tab-runs")
            index = [entry.folder.name for entry in panel._entries].index("other")
            await pilot.press(*["down"] * index, "enter")
            await until(pilot, lambda: app.folder.name == "other")
            await caught_up(pilot, app, other[-1].seq, "finished")
            assert "other" in screen_text(app)
            assert "FINISHED" in screen_text(app)


async def test_a_click_on_a_tab_switches(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            await pilot.click("#tabs", offset=(screen_text(app).split("\n")[1].index("Curves"), 0))
            await until(pilot, lambda: app.dashboard.tab == "curves")


async def test_e_shows_which_files_were_written(runs: Path, monkeypatch: pytest.MonkeyPatch):
    reported = msgspec.json.encode({"files": ["a.svg", "b.svg"], "messages": ["no dot"]}).decode()
    monkeypatch.setattr(
        "darts_tui.dashboard.export_process.COMMAND", ("-c", f"print({reported!r})")
    )
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            await pilot.press("e")
            await until(pilot, lambda: len(app._notifications) == 3)
            toasts = [toast.message for toast in app._notifications]
            assert toasts[1] == "no dot"
            assert toasts[2].startswith("2 files in")


def test_the_help_names_every_binding():
    from darts_tui.dashboard.screens.help import help_lines

    text = "\n".join("".join(span.text for span in line) for line in help_lines())
    names = {
        "left_square_bracket": "[", "right_square_bracket": "]", "left_curly_bracket": "{",
        "right_curly_bracket": "}", "question_mark": "?", "f1": "F1", "colon": ":",
    }  # fmt: skip
    for binding in DashboardApp.BINDINGS:
        for key in binding.key.split(","):
            if not (key.isdigit() and key != "0") and key != "ctrl+q":
                assert names.get(key, key) in text
    assert len(help_lines()) <= 22
