"""Colours as data: one TOML file per theme, validated when it is read.

A theme file has the keys `name`, `dark`, `heat` (16 colours from the lowest to the highest weight),
`series` (at least four colours of curves) and a table `colors`. Nothing here imports a terminal
library; the dashboard makes its styles from these values.
"""

from darts_themes.theme import (
    HEAT_LEVELS,
    MAX_BYTES,
    Theme,
    ThemeError,
    builtin,
    contrast,
    ink_on,
    load_file,
    load_folder,
    luminance,
    parse,
)

__all__ = [
    "HEAT_LEVELS",
    "MAX_BYTES",
    "Theme",
    "ThemeError",
    "builtin",
    "contrast",
    "ink_on",
    "load_file",
    "load_folder",
    "luminance",
    "parse",
]
