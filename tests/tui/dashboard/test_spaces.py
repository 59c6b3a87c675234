"""Spaces other than that of DARTS: one cell type, nodes that choose, more nodes."""

import pytest
from dashboard_kit import SIZES, a_run, screen_text, story, watching
from tests.tui.dashboard.test_snapshots import looks_the_same  # noqa: F401

from darts_engine.run.architecture.genotype import GenotypeChange
from darts_tui.console.event_text import change_text

LOOKS = [
    ("nasbench201", "small", "1"),
    ("nasbench201", "wide", "1"),
    ("nasbench201", "medium", "2"),
    ("1shot1-1", "medium", "1"),
    ("1shot1-3", "wide", "4"),
    ("nasnet-like", "small", "2"),
]


@pytest.mark.parametrize(("space", "size", "tab"), LOOKS)
def test_looks(looks_the_same, space, size, tab):  # noqa: F811
    assert looks_the_same("search", size, keys=(tab,), space=space)


@pytest.mark.slow
@pytest.mark.parametrize(
    "space", ["nasbench201", "1shot1-1", "1shot1-2", "1shot1-3", "nasnet-like"]
)
async def test_no_panel_fails_on_any_tab(runs, space):
    history = story(space=space, epochs_done=4)
    with a_run(runs, space=space, epochs_done=4) as run:
        async with watching(run, history) as (app, pilot):
            for size in (SIZES["small"], SIZES["wide"]):
                await pilot.resize_terminal(*size)
                for key in "12345678n":
                    await pilot.press(key)
                    await pilot.pause()
                    assert "panel failed" not in screen_text(app), size


async def test_the_only_cell_has_its_decisions_beside_it(runs):
    history = story(space="nasbench201")
    with a_run(runs, space="nasbench201") as run:
        async with watching(run, history, size=SIZES["wide"]) as (app, _):
            assert app.screen.query_one("#alpha-decisions").display
            text = screen_text(app)
            assert "stable: " in text
            assert "reduction" not in text


async def test_parents_are_marked_together_and_named(runs):
    history = story(space="1shot1-1")
    with a_run(runs, space="1shot1-1") as run:
        async with watching(run, history, size=SIZES["medium"]) as (app, _):
            lines = screen_text(app).splitlines()
            row = next(line for line in lines if "▸ output" in line)
            assert row[row.index("▸ output") :].count("[") == 2
            assert any(
                "Operations of nodes" in line and "Parents of nodes" in line for line in lines
            )


def test_the_output_has_no_operation_in_a_change():
    change = GenotypeChange(cell="cell", node=5, removed=["output(2)"], added=["output(3)"])
    assert change_text(change) == "output −2 +3"
    change = GenotypeChange(cell="cell", node=1, removed=["maxpool3x3(0)"], added=[])
    assert change_text(change) == "node 1 −max3x3(0)"
