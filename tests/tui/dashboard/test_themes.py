"""Colours that can be read, by everyone, on every terminal."""

import itertools
from pathlib import Path

import pytest
from dashboard_kit import a_run, story, watching
from rich.color import Color, ColorSystem

from darts_themes import (
    HEAT_LEVELS,
    ThemeError,
    builtin,
    contrast,
    load_file,
    load_folder,
    luminance,
)

THEMES = list(builtin().values())
SAMPLE = (Path(__file__).parents[3] / "themes/darts_themes/themes/dark.toml").read_text()


def as_256(color: str) -> str:
    rgb = Color.parse(color).downgrade(ColorSystem.EIGHT_BIT).get_truecolor()
    return "#{:02x}{:02x}{:02x}".format(*rgb)


@pytest.mark.parametrize("theme", THEMES, ids=lambda t: t.name)
@pytest.mark.parametrize("level", range(HEAT_LEVELS))
def test_text_on_heat_has_contrast_also_in_256_colours(theme, level):
    assert contrast(theme.ink(level), theme.heat[level]) >= 4.5
    assert contrast(as_256(theme.ink(level)), as_256(theme.heat[level])) >= 4.5


@pytest.mark.parametrize("theme", THEMES, ids=lambda t: t.name)
def test_heat_rises_or_falls_in_luminance_all_the_way(theme):
    exact = [luminance(color) for color in theme.heat]
    rough = [luminance(as_256(color)) for color in theme.heat]
    sign = 1 if theme.dark else -1
    assert all(sign * (b - a) > 0 for a, b in itertools.pairwise(exact))
    assert all(sign * (b - a) >= 0 for a, b in itertools.pairwise(rough))


@pytest.mark.parametrize("theme", THEMES, ids=lambda t: t.name)
def test_words_and_curves_stand_out_from_the_background(theme):
    floor = 7.0 if theme.name == "high-contrast" else 4.5
    words = ("foreground", "muted", "accent", "primary", "success", "warning", "error")
    for back in (theme.colors["background"], theme.colors["panel"]):
        for role in words:
            assert contrast(theme.colors[role], back) >= floor, role
    for color in theme.series:
        assert contrast(color, theme.colors["background"]) >= 4.5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (('name = "dark"', 'name = "A b"'), "name"),
        (("dark = true", "dark = 1"), "dark"),
        (('"#161d2b", ', ""), "heat"),
        (("#1a2a3d", "teal"), "heat[1]"),
        (('muted = "#8b96a8"', ""), "colors.muted"),
        (('muted = "#8b96a8"', 'mutde = "#8b96a8"'), "colors.mutde"),
        (("dark = true", "dark = true\nevil = 1"), "evil"),
        (("dark = true", "dark = "), "not valid TOML"),
    ],
)
def test_a_wrong_theme_file_is_refused_with_file_and_field(tmp_path: Path, change, field):
    path = tmp_path / "mine.toml"
    path.write_text(SAMPLE.replace(*change, 1))
    with pytest.raises(ThemeError) as caught:
        load_file(path)
    assert str(caught.value).startswith("mine.toml: ")
    assert field in str(caught.value)


def test_a_folder_gives_its_good_themes_and_names_the_bad_ones(tmp_path: Path):
    (tmp_path / "a.toml").write_text(SAMPLE.replace('"dark"', '"mine"', 1))
    (tmp_path / "b.toml").write_text("nonsense")
    themes, problems = load_folder(tmp_path)
    assert [theme.name for theme in themes] == ["mine"]
    assert len(problems) == 1
    assert load_folder(tmp_path / "none") == ([], [])


async def test_user_themes_are_offered_and_a_wrong_one_is_a_notice(runs: Path, tmp_path: Path):
    folder = tmp_path / "config/darts-tui/themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(SAMPLE.replace('"dark"', '"mine"', 1))
    (folder / "bad.toml").write_text("[colors")
    with a_run(runs) as run:
        async with watching(run, story(), theme="mine") as (app, _):
            assert app.theme == "mine"
            assert [n.message.split(":")[0] for n in app._notifications] == ["bad.toml"]


async def test_an_unknown_theme_falls_back_with_a_notice(runs: Path):
    with a_run(runs) as run:
        async with watching(run, story(), theme="nope") as (app, _):
            assert app.theme == "dark"
            assert "'nope'" in next(iter(app._notifications)).message
