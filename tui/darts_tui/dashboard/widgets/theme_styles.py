"""The styles of a theme by role, and the theme for Textual's own widgets.

All drawing code names colours by role ("muted", "series-1", "heat-7 bold"), so a change of theme is
a new `ThemeStyles` and one redraw.
"""

from rich.style import Style
from textual.theme import Theme as TextualTheme

from darts_themes import HEAT_LEVELS, Theme, ink_on

ATTRIBUTES = ("bold", "italic", "underline")


class ThemeStyles:
    """The styles of one theme. Every style has both colours, for Textual's NO_COLOR filter."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme
        self._styles: dict[str, Style] = {}

    def style(self, role: str) -> Style:
        """The style of a role: a colour's name and attributes in any order; "" is plain text."""
        found = self._styles.get(role)
        if found is None:
            found = self._styles[role] = self._make(role)
        return found

    def _make(self, role: str) -> Style:
        colors = self.theme.colors
        front, back = colors["foreground"], colors["background"]
        words = set(role.split())
        for word in role.split():
            if word in ATTRIBUTES:
                continue
            if word.startswith("heat-"):
                level = min(HEAT_LEVELS - 1, int(word.removeprefix("heat-")))
                front, back = self.theme.ink(level), self.theme.heat[level]
            elif word.startswith("ramp-"):
                front = self.theme.heat[min(HEAT_LEVELS - 1, int(word.removeprefix("ramp-")))]
            elif word.startswith("series-"):
                number = int(word.removeprefix("series-"))
                front = self.theme.series[number % len(self.theme.series)]
            elif word.startswith("on-"):
                back = colors[word.removeprefix("on-")]
            elif word.startswith("badge-"):
                back = colors[word.removeprefix("badge-")]
                front = ink_on(back)
            else:
                front = colors[word]
        return Style(
            color=front,
            bgcolor=back,
            bold="bold" in words,
            italic="italic" in words,
            underline="underline" in words,
        )


def textual_theme(theme: Theme) -> TextualTheme:
    """The same colours for Textual's own widgets: lists, toasts and dialogs."""
    colors = theme.colors
    return TextualTheme(
        name=theme.name,
        primary=colors["primary"],
        secondary=colors["secondary"],
        accent=colors["accent"],
        foreground=colors["foreground"],
        background=colors["background"],
        surface=colors["surface"],
        panel=colors["panel"],
        success=colors["success"],
        warning=colors["warning"],
        error=colors["error"],
        dark=theme.dark,
        variables={"line": colors["line"], "muted": colors["muted"]},
    )
