"""docs/extending.md is true: its package, built from the page, is used for what it adds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_kit import a_run, screen_text, story, until, watching
from engine_kit import events_in, of_type
from house_kit import TINY, House, new_house
from package_kit import PAGE, install_page

from darts_engine.run import events
from darts_themes import HEAT_LEVELS, contrast, load_file
from darts_tui.cli.methods import complete_space
from darts_tui.cli.options import _completion

ADDED = ("--space", "trio", "--relaxation", "sharp", "--dataset", "corners")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages with that of the page."""
    site = tmp_path_factory.mktemp("site")
    install_page(site)
    return site


@pytest.fixture(scope="module")
def searched(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with a finished search of two epochs, "own", of everything that the page adds."""
    house = new_house(tmp_path_factory.mktemp("house"))
    done = house.cli(
        "search",
        "--name",
        "own",
        "--epochs",
        2,
        *TINY,
        *ADDED,
        PYTHONPATH=beside(site),
        timeout=110,
    )
    assert done.returncode == 0, done.stderr.decode()
    yield house
    house.close()


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's package, installed for this process."""
    monkeypatch.syspath_prepend(str(site))
    return site


def beside(site: Path) -> str:
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(site), *([before] if before else [])])


def test_the_page_has_one_file_and_one_line_for_each(tmp_path: Path) -> None:
    files = install_page(tmp_path)
    assert set(files) == {
        "darts_extras/__init__.py",
        "darts_extras/sharp.py",
        "darts_extras/trio.py",
        "darts_extras/corners.py",
        "darts_extras/bells.py",
        "darts_extras/pace.py",
        "darts_extras/dusk.toml",
    }
    text = (tmp_path / "darts_extras-1.0.dist-info/entry_points.txt").read_text()
    assert len([line for line in text.splitlines() if " = " in line]) == len(files) - 1


@pytest.mark.slow
def test_a_search_uses_the_space_the_relaxation_and_the_data(searched: House) -> None:
    history = events_in(searched.run("own"))
    (started,) = of_type(history, events.RunStarted)
    assert (started.space, started.dataset) == ("trio", "corners")
    assert started.config["method"]["relaxation"] == "sharp"
    assert started.classes == ["top left", "top right", "bottom left", "bottom right"]
    assert [cell.operations for cell in started.cells] == [
        ["max_pool_3x3", "skip_connect", "sep_conv_3x3"]
    ] * 2
    assert started.versions["darts-extras"] == "1.0"
    assert of_type(history, events.RunFinished)


def test_the_search_mixed_with_the_added_relaxation(searched: House) -> None:
    import torch

    run = searched.run("own")
    sample = of_type(events_in(run), events.AlphaSampled)[-1]
    for cell, weights in sample.weights.items():
        alpha = torch.tensor(sample.alphas[cell])
        expected = torch.softmax(alpha / 0.5, -1)
        assert torch.allclose(torch.tensor(weights), expected, atol=1e-3)
        assert not torch.allclose(torch.softmax(alpha, -1), expected, atol=1e-5)


@pytest.mark.slow
def test_without_the_package_its_run_is_shown_and_what_is_missing_is_named(
    searched: House,
) -> None:
    shown = searched.cli("show", "run:own")
    assert shown.returncode == 0, shown.stderr.decode()
    assert b"own" in searched.cli("runs").stdout
    analysed = searched.cli("analyse", "own").stderr.decode().splitlines()
    assert analysed[0] == "unknown relaxation 'sharp'"
    assert analysed[1].endswith("runs/own/config.toml")
    assert analysed[2].endswith("or install the package that adds 'sharp'")
    for option, words in (
        (ADDED[0:2], "there is no search space 'trio'"),
        (ADDED[2:4], "unknown relaxation 'sharp'"),
        (ADDED[4:6], "there is no data set 'corners'"),
    ):
        refused = searched.cli("search", *TINY, *option)
        lines = refused.stderr.decode().splitlines()
        assert refused.returncode in (2, 5)
        assert lines[0] == words
        assert len(lines) == 3
        assert "install" in refused.stderr.decode()


def test_added_names_are_listed_explained_and_completed(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from darts_tui.cli import main

    assert main.run(["spaces"]) == 0
    assert "trio         added by the package darts-extras 1.0" in capsys.readouterr().out
    assert main.run(["spaces", "trio"]) == 0
    printed = capsys.readouterr().out
    assert "my thesis, chapter 3" in printed
    assert "14 edges in each" in printed
    assert "84 alphas" in printed
    assert main.run(["methods", "darts"]) == 0
    assert "softmax, gumbel, sigmoid, dirichlet, sharp" in capsys.readouterr().out
    assert complete_space("tr") == ["trio"]
    for key, name in (("method.relaxation", "sharp"), ("data.dataset", "corners")):
        complete = _completion(key)
        assert complete is not None
        assert complete(name[:2]) == [name]


def test_the_text_is_read(installed: Path) -> None:
    from darts_engine.data.text.corpus import read
    from darts_engine.run.settings.sections import DataSection
    from darts_engine.run.settings.text_sections import TextSection

    bells = read(DataSection(dataset="bells"), TextSection())
    assert bells.tokens.words[:3] == ["tenor", "five", "four"]
    assert (len(bells.tokens), len(bells.train), len(bells.valid)) == (7, 11_200, 1_400)


async def test_the_panel_stands_in_a_tab_of_its_own(installed: Path, runs: Path) -> None:
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            assert "a Added" in screen_text(app)
            await pilot.press("a")
            await until(pilot, lambda: "─ Pace " in screen_text(app))
            newest = app.state.epochs[-1]
            assert f"epoch {newest.epoch:>4}{newest.seconds:10.1f} s" in screen_text(app)
            assert not app._notifications


async def test_without_a_package_there_is_no_such_tab(runs: Path) -> None:
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            assert "Added" not in screen_text(app)
            await pilot.press("a")
            await pilot.pause()
            assert app.dashboard.tab == "overview"


async def test_the_theme_is_offered_and_applied(installed: Path, runs: Path) -> None:
    with a_run(runs) as run:
        async with watching(run, story(), theme="dusk") as (app, _):
            assert "dusk" in app.themes
            assert app.theme == "dusk"
            assert app.theme_styles.theme.colors["background"] == "#1c1622"
            assert not app._notifications


def test_the_theme_can_be_read(installed: Path) -> None:
    theme = load_file(installed / "darts_extras/dusk.toml")
    back = theme.colors["background"]
    for role in ("foreground", "muted", "accent", "primary", "success", "warning", "error"):
        assert contrast(theme.colors[role], back) >= 4.5, role
    assert len(theme.heat) == HEAT_LEVELS


def test_the_files_that_the_page_names_exist() -> None:
    import re

    root = PAGE.parents[1]
    named = re.findall(
        r"`((?:darts_engine|engine|tui|themes|tests|docs)/[\w./]+)`", PAGE.read_text()
    )
    places = {"darts_engine": "engine", "darts_tui": "tui"}
    missing = [
        path
        for path in named
        if "AXIS" not in path
        and not (root / places.get(path.partition("/")[0], "") / path).exists()
    ]
    assert missing == []
