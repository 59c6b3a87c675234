import math
import sys

import pytest
from fake_story import EDGES, OPERATIONS, made_up_events

from darts_engine.run.architecture.derivation import derive
from darts_engine.run.architecture.layout import CellLayout
from darts_engine.run.architecture.text import published
from darts_engine.run.events import AlphaSampled
from darts_engine.run.state import RunState, fold_all
from darts_tui.export import figures, pictures
from darts_tui.export.pictures import Job, curves, draw, heatmap, history
from darts_tui.export.render import RenderError

LAYOUT = CellLayout(name="normal", edges=EDGES, operations=OPERATIONS)
DARTS_V2 = published()["DARTS_V2"].genotype


def sample(value: float | None = 0.125) -> AlphaSampled:
    rows = [[value] * len(OPERATIONS) for _ in EDGES]
    return AlphaSampled(
        epoch=1, step=1, global_step=1, alphas={"normal": rows}, weights={"normal": rows}
    )


def test_what_the_heatmap_outlines_is_what_is_derived() -> None:
    state = fold_all(made_up_events(epochs_done=4))
    assert state.alpha is not None
    weights = {
        cell: [[w or 0.0 for w in row] for row in m] for cell, m in state.alpha.weights.items()
    }
    genotype = derive(weights, OPERATIONS)
    picture = heatmap(LAYOUT, state.alpha, genotype, "t")
    kept = {(EDGES[row], OPERATIONS[column]) for row, column in picture.kept}
    assert kept == {((e.input, e.node), e.operation) for e in genotype.edges("normal")}
    assert picture.groups == [2, 3, 4, 5]
    assert picture.rows[:3] == ["cₖ₋₂ → 0", "cₖ₋₁ → 0", "cₖ₋₂ → 1"]


def test_history_has_an_axis_per_edge_in_the_line_of_its_node() -> None:
    picture = history(LAYOUT, [sample(), sample()], DARTS_V2, "t")
    assert picture.places[:5] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert picture.places[-1] == (3, 4)


@pytest.mark.slow
def test_numbers_that_are_not_finite_and_foreign_titles_are_drawn() -> None:
    title = r"$\frac{1}{0}$ <b> \x1b"
    jobs = [
        Job(picture=heatmap(LAYOUT, sample(None), DARTS_V2, title), files={"a.svg": "svg"}),
        Job(picture=history(LAYOUT, [sample(None)], DARTS_V2, title), files={"b.svg": "svg"}),
        Job(picture=curves(RunState(), title), files={"c.svg": "svg"}),
    ]
    drawn = draw(jobs)
    assert sorted(drawn) == ["a.svg", "b.svg", "c.svg"]
    for svg in drawn.values():
        assert r"$\frac{1}{0}$ &lt;b&gt; \x1b" in svg.decode()


def test_the_best_epoch_is_marked_and_schedules_end_now() -> None:
    state = fold_all(made_up_events(epochs_done=6, epochs=20))
    loss, accuracy, rate = curves(state, "t").panels
    assert state.best is not None
    assert accuracy.mark == (state.best.epoch, state.best.valid_top1)
    assert [line.label for line in loss.lines] == ["train, by step", "train", "validation"]
    assert [x for x, _ in rate.lines[0].points] == [1, 2, 3, 4, 5, 6, 7]
    assert math.isclose(max(x for x, _ in loss.lines[0].points), 6 + 5 / 11)


@pytest.mark.slow
def test_the_same_picture_gives_the_same_bytes() -> None:
    files = {"a.svg": "svg", "a.pdf": "pdf", "a.png": "png"}
    job = Job(picture=curves(fold_all(made_up_events(epochs_done=2)), "t"), files=files)
    assert draw([job]) == draw([job])


def test_without_matplotlib_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RenderError, match="pip install matplotlib"):
        pictures.draw([])


@pytest.mark.slow
def test_many_lines_get_a_small_plot_each_with_the_others_behind() -> None:
    """Of one scale; magnitudes may be zero, negative, a single point or none at all."""
    points = [[(1.0, 0.2), (2.0, 19.0)], [(1.0, -0.05)], [], [(1.0, 0.0)], [(2.0, 0.3)]]
    lines = [pictures.Line(label=f"m{n}", points=found) for n, found in enumerate(points)]
    picture = pictures.Multiples(
        title="five", label="eigenvalue", lines=lines, epochs=2.0, by_size=True
    )
    figure = figures.draw_multiples(picture)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["m0", "m1", "m2", "m3", "m4"]
    assert all(axes.get_ylim() == pytest.approx((-0.075, 28.5)) for axes in shown)
    assert [len(axes.lines) for axes in shown] == [4] * 5
    assert [
        [number for number, line in enumerate(axes.lines) if line.get_color() == figures.PALETTE[0]]
        for axes in shown
    ] == [[0], [1], [], [2], [3]]
    job = pictures.Job(picture=picture, files={"five.svg": "svg", "five.png": "png"})
    drawn = pictures.draw([job])
    assert drawn["five.svg"].startswith(b"<?xml")
    assert drawn["five.png"].startswith(b"\x89PNG")
