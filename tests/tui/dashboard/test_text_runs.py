"""Runs on text: edges in stretches, the cell as a chain, perplexity, where averaging began."""

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import fake_run
import msgspec
import pytest
from dashboard_kit import SIZES, app_on, caught_up, screen_text
from hypothesis import given
from hypothesis import strategies as st
from stories.recurrent import AVERAGING_FROM, make_text_run, text_events
from textual.pilot import Pilot

from darts_engine.run import events
from darts_engine.run.architecture.genotype import GenotypeChange
from darts_engine.run.architecture.text import published
from darts_engine.run.state import fold_all
from darts_tui.console.event_text import note, perplexity_text
from darts_tui.dashboard.app import DashboardApp
from darts_tui.dashboard.panels.chain import chain_rows
from darts_tui.dashboard.panels.genotype import HistoryPanel
from darts_tui.dashboard.panels.health import HealthPanel
from darts_tui.dashboard.panels.schedules import SchedulesPanel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.run_list import read_entry
from darts_tui.dashboard.widgets.curve import perplexity_axis
from darts_tui.dashboard.widgets.stretches import brackets, stretches

LOOKS = [
    ("search", "small", "1", "dark"),
    ("search", "wide", "1", "dark"),
    ("search", "medium", "2", "light"),
    ("train", "medium", "1", "dark"),
]
# Nothing of a run on text has an accuracy, an image or a class.
PICTURE_WORDS = re.compile(r"accurac|image|img/s|top-1|classes|cutout|skip|reduc|normal cell|None")
TARGETS = [target for target in range(1, 9) for _ in range(target)]


@pytest.fixture
def looks_the_same(snap_compare, runs: Path):
    """Press a key on a made-up run on text and compare the screen with a snapshot."""

    def check(kind: str, size: str, key: str, theme: str) -> bool:
        history = text_events(kind=kind)
        run = make_text_run(runs, f"verses-{kind}", kind=kind)
        with fake_run.engine_alive(run):
            app: DashboardApp = app_on(run, history, theme=theme)

            async def prepare(pilot: Pilot[int]) -> None:
                await caught_up(pilot, app, history[-1].seq, "running")
                await pilot.press(key)
                await pilot.pause()
                app.redraw()
                await pilot.pause()

            return bool(snap_compare(app, terminal_size=SIZES[size], run_before=prepare))

    return check


@contextlib.asynccontextmanager
async def watching(
    runs: Path, kind: str, size: tuple[int, int]
) -> AsyncIterator[tuple[DashboardApp, Pilot[int]]]:
    run, history = make_text_run(runs, f"verses-{kind}", kind=kind), text_events(kind=kind)
    with fake_run.engine_alive(run):
        app = app_on(run, history)
        async with app.run_test(size=size) as pilot:
            await caught_up(pilot, app, history[-1].seq, "running")
            yield app, pilot


@pytest.mark.parametrize(("kind", "size", "key", "theme"), LOOKS)
def test_looks(looks_the_same, kind, size, key, theme):
    assert looks_the_same(kind, size, key, theme)


@pytest.mark.parametrize("kind", ["search", "train"])
@pytest.mark.parametrize("size", [SIZES["small"], (240, 60)])
async def test_no_tab_fails_or_tells_of_pictures(runs: Path, kind: str, size: tuple[int, int]):
    async with watching(runs, kind, size) as (app, pilot):
        for key in "12345679":
            await pilot.press(key)
            await pilot.pause()
            text = screen_text(app)
            assert "panel failed" not in text, key
            assert not PICTURE_WORDS.search(text), (key, PICTURE_WORDS.search(text))


@pytest.mark.parametrize(("size", "columns"), [((80, 24), 2), ((120, 36), 2), ((160, 48), 3)])
async def test_edges_stand_beside_one_another_with_a_bracket_for_each_node(runs, size, columns):
    async with watching(runs, "search", size) as (app, pilot):
        text = screen_text(app)
        assert text.splitlines()[3].count("edge") == columns
        if size[1] >= 36:
            assert [edge for edge in range(36) if label(edge) not in text] == []
        await pilot.press("2")
        await pilot.pause()
        assert "╰1→2" in screen_text(app)


def label(edge: int) -> str:
    target = TARGETS[edge]
    return f"{edge - target * (target - 1) // 2}→{target}"


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(20, 300))
def test_stretches_hold_whole_nodes_and_all_rows(sizes: list[int], width: int):
    targets = [node for node, count in enumerate(sizes) for _ in range(count)]
    parts = stretches(targets, width)
    ends = [sum(parts[: place + 1]) for place in range(len(parts))]
    assert ends[-1] == len(targets)
    assert all(end == len(targets) or targets[end] != targets[end - 1] for end in ends)
    assert len(brackets(targets)) == len(targets)


def test_the_longest_stretch_is_short_and_others_even():
    assert stretches(TARGETS, 76) == [15, 21]
    assert stretches(TARGETS, 156) == [10, 11, 15]
    assert stretches(TARGETS, 50) == [36]
    assert stretches([2] * 14, 300) == [14]
    assert "".join(brackets([1, 2, 2, 3, 3, 3])) == "╶╭╰╭│╰"


def view_of(kind: str, **changes: object) -> View:
    return View(fold_all(text_events(kind=kind)), "verses", **changes)  # type: ignore[arg-type]


def words(lines) -> str:
    return "\n".join("".join(span.text for span in line) for line in lines)


def test_a_chain_has_a_row_for_each_node_and_marks_what_is_new():
    cell = published()["RNN_DARTS_V2"].genotype
    change = GenotypeChange(cell="recurrent", node=6, removed=["relu(5)"], added=["sigmoid(5)"])
    tall = chain_rows(cell, [change], 60, 20)
    assert words(tall).splitlines()[0] == "  0 ← x, h"
    assert words(tall).splitlines()[6] == "  6 ← sigmoid(5)*"
    assert words(tall).splitlines()[-1] == "  h ← mean of 1–8"
    assert [span.role for line in tall for span in line if "*" in span.text] == ["warning bold"]
    low = words(chain_rows(cell, [], 60, 7)).splitlines()
    assert len(low) == 6
    assert "1 ← sigmoid(0)" in low[1]
    assert "5 ← tanh(2)" in low[1]
    enas = chain_rows(published()["RNN_ENAS"].genotype, [], 20, 7)
    assert words(enas).endswith("mean of 2, 5, 6, 9, 10, 11")


@given(st.lists(st.floats(1.0, 1e9, allow_nan=False), min_size=1, max_size=20), st.integers(2, 60))
def test_a_perplexity_axis_holds_its_values_and_rising_ticks_within(values, rows):
    low, high, ticks = perplexity_axis(values, rows)
    assert low < high
    assert low <= min(values) <= max(values) <= high
    assert list(ticks) == sorted(set(ticks))
    assert all(low <= tick <= high for tick in ticks)


def test_ticks_are_round_where_perplexities_are_close():
    assert perplexity_axis([58.1, 63.0, 70.4], 9)[2] == [60, 65, 70]
    assert perplexity_axis([95.9, 800.0], 20)[2] == [100, 200, 500]


def test_the_schedules_show_since_when_weights_are_averaged():
    shown = SchedulesPanel().content(view_of("train"), 60, 12)
    assert re.search(r"averaging .* 1\.00", words(shown.rows))
    assert "cutout" not in words(shown.rows)
    search = SchedulesPanel().content(view_of("search"), 60, 12)
    assert "averag" not in words(search.rows)


def test_the_history_has_one_first_derivation_and_no_row_where_nothing_changed():
    cell = published()["RNN_DARTS_V2"].genotype
    change = GenotypeChange(cell="recurrent", node=6, removed=["relu(5)"], added=["sigmoid(5)"])
    at = {"step": 1, "global_step": 1, "genotype": cell, "text": cell.text()}
    view = view_of("search")
    view.state.genotypes = [
        events.GenotypeDerived(epoch=epoch, changed=changed, **at)  # type: ignore[arg-type]
        for epoch, changed in [(0, []), (1, [change]), (1, []), (2, [])]
    ]
    assert words(HistoryPanel().content(view, 60, 5).rows).splitlines() == [
        "epoch    0  first derivation",
        "epoch    1  node 6 −relu(5) +sigm(5)",
    ]


def test_health_has_the_hidden_state_and_the_perplexity_of_the_best_checkpoint():
    text = words(HealthPanel().content(view_of("train"), 50, 9).rows)
    assert re.search(r"hidden state .* 4\.16", text)
    assert "best saved   epoch 21, 110.3 ppl" in text
    assert "skips" not in words(HealthPanel().content(view_of("search"), 50, 9).rows)


def test_a_gap_without_accuracies_is_one_of_losses():
    gap = events.GapMeasured(
        epoch=1, step=1, global_step=1, supernet_loss=4.9, supernet_top1=None, derived_loss=5.4,
        derived_top1=None, renewed_loss=5.1, renewed_top1=None,
    )  # fmt: skip
    found = note(gap)
    assert found is not None
    assert found.text == (
        "supernet 4.900 nats, cut to its genotype 5.400 nats (5.100 nats with its own statistics)"
    )
    state = fold_all([*text_events(), msgspec.structs.replace(gap, seq=10_000)])
    rows = HealthPanel().content(View(state, "verses"), 50, 12).rows
    assert re.search(r"gap .* 0\.50 nats", words(rows))


def test_notes_have_perplexities():
    history = text_events(kind="train", phase="finished")
    done = [e for e in history if isinstance(e, events.EpochFinished)]
    best = min(done, key=lambda e: e.valid_perplexity)
    assert f"{best.valid_perplexity:.1f} ppl" in note(best).text
    assert note(history[-1]).text.endswith(
        f"best {best.valid_perplexity:.1f} ppl at epoch {best.epoch}"
    )
    values = (58.1, 124.4, 6022.0, 4.85e8)
    assert [perplexity_text(v) for v in values] == ["58.10", "124.4", "6022", "4.8e+08"]


def test_the_list_has_the_best_perplexity(runs: Path):
    entry = read_entry(make_text_run(runs, "verses-train", kind="train", phase="finished"))
    assert entry.best is None
    assert entry.perplexity == min(
        e.valid_perplexity
        for e in text_events(kind="train", phase="finished")
        if isinstance(e, events.EpochFinished)
    )


async def test_the_switch_to_averages_is_marked_in_both_curves(runs: Path):
    async with watching(runs, "train", SIZES["wide"]) as (app, pilot):
        rows = screen_text(app).splitlines()
        assert any(row.count("┊") == 2 for row in rows)
        await pilot.press("3")
        await pilot.pause()
        assert f"averaged from {AVERAGING_FROM}" in screen_text(app)
