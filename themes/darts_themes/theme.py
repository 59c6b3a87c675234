"""A theme, its reader, and the contrast of two colours (WCAG 2.1)."""

import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

HEAT_LEVELS = 16
MIN_SERIES = 4
MAX_BYTES = 64_000
DARK_INK, LIGHT_INK = "#000000", "#ffffff"
COLORS = (
    "primary",
    "secondary",
    "accent",
    "foreground",
    "muted",
    "line",
    "background",
    "surface",
    "panel",
    "success",
    "warning",
    "error",
)
_COLOR = re.compile(r"^#[0-9a-fA-F]{6}$")
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,31}$")


class ThemeError(ValueError):
    """A theme file is not usable; the message names the file and the field."""


@dataclass(frozen=True)
class Theme:
    """One theme. Colours are "#rrggbb".

    Attributes:
        name: for `--theme` and the command palette.
        dark: whether text is lighter than the background.
        colors: role -> colour, for each of `COLORS`.
        heat: 16 backgrounds from the lowest to the highest weight.
        series: colours of curves, in the order they are used.
    """

    name: str
    dark: bool
    colors: dict[str, str]
    heat: tuple[str, ...]
    series: tuple[str, ...]

    def ink(self, level: int) -> str:
        """Black or white, whichever has more contrast on the heat of a level."""
        return ink_on(self.heat[level])


def luminance(color: str) -> float:
    """Relative luminance of "#rrggbb", 0 to 1 (WCAG 2.1)."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(color: str) -> str:
    """Black or white, whichever has more contrast on a colour."""
    return max((DARK_INK, LIGHT_INK), key=lambda ink: contrast(ink, color))


def builtin() -> dict[str, Theme]:
    """The themes that come with the package, by name, the default first."""
    folder = resources.files("darts_themes").joinpath("themes")
    found = [
        parse(entry.read_text("utf-8"), entry.name)
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    ]
    return {theme.name: theme for theme in sorted(found, key=lambda t: (t.name != "dark", t.name))}


def load_folder(folder: Path) -> tuple[list[Theme], list[str]]:
    """A user's themes, and a message for each file that is not a theme.

    A folder that does not exist has no themes and no problems.
    """
    themes: list[Theme] = []
    problems: list[str] = []
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError:
        return themes, problems
    for path in paths:
        try:
            themes.append(load_file(path))
        except ThemeError as error:
            problems.append(str(error))
    return themes, problems


def load_file(path: Path) -> Theme:
    """Read a theme.

    Raises:
        ThemeError: the file cannot be read or a field is wrong.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ThemeError(f"{path.name}: cannot be read: {error}") from None
    if len(raw) > MAX_BYTES:
        raise ThemeError(f"{path.name}: larger than {MAX_BYTES} bytes")
    return parse(text, path.name)


def parse(text: str, file: str) -> Theme:
    """Parse the text of a theme file; `file` is its name in messages.

    Raises:
        ThemeError: a field is wrong; the message names file and field.
    """
    try:
        plain = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ThemeError(f"{file}: not valid TOML: {error}") from None
    if unknown := plain.keys() - {"name", "dark", "heat", "series", "colors"}:
        raise ThemeError(f"{file}: unknown field {min(unknown)}")
    name, dark, colors = plain.get("name"), plain.get("dark"), plain.get("colors")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ThemeError(f"{file}: name must be 1 to 32 of a-z 0-9 -")
    if not isinstance(dark, bool):
        raise ThemeError(f"{file}: dark must be true or false")
    if not isinstance(colors, dict):
        raise ThemeError(f"{file}: colors must be a table")
    if unknown := colors.keys() - set(COLORS):
        raise ThemeError(f"{file}: unknown field colors.{min(unknown)}")
    return Theme(
        name=name,
        dark=dark,
        colors={role: _color(colors.get(role), file, f"colors.{role}") for role in COLORS},
        heat=_colors(plain.get("heat"), file, "heat", HEAT_LEVELS, HEAT_LEVELS),
        series=_colors(plain.get("series"), file, "series", MIN_SERIES, 16),
    )


def _colors(values: Any, file: str, field: str, fewest: int, most: int) -> tuple[str, ...]:
    if not isinstance(values, list) or not fewest <= len(values) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise ThemeError(f"{file}: {field} must be a list of {wanted} colours")
    return tuple(_color(value, file, f"{field}[{at}]") for at, value in enumerate(values))


def _color(value: Any, file: str, field: str) -> str:
    if not isinstance(value, str) or not _COLOR.match(value):
        raise ThemeError(f'{file}: {field} must be a colour like "#1d2634"')
    return value.lower()
