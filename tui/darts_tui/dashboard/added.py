"""Panels and themes that installed packages add. What cannot be used is a line for the user."""

from functools import partial

from darts_engine.run import extensions
from darts_engine.run.errors import ExtensionError
from darts_engine.run.extensions import Extension
from darts_themes import MAX_BYTES, Theme, ThemeError, parse
from darts_tui.dashboard.panels.panel import Panel


def panels() -> tuple[list[Panel], list[str]]:
    """A widget of each panel, and why others are missing."""
    found: list[Panel] = []
    problems = [_line(why) for why in extensions.refused(extensions.PANELS)]
    for name in extensions.names(extensions.PANELS):
        try:
            found.append(_panel(name))
        except ExtensionError as error:
            problems.append(_line(error))
    return found, problems


def themes(built_in: dict[str, Theme]) -> tuple[dict[str, Theme], list[str]]:
    """The themes by name, and why others are missing."""
    found: dict[str, Theme] = {}
    problems = [_line(why) for why in extensions.refused(extensions.THEMES, built_in)]
    for name in extensions.names(extensions.THEMES, built_in):
        try:
            found[name] = _theme(name)
        except ExtensionError as error:
            problems.append(_line(error))
    return found, problems


def _panel(name: str) -> Panel:
    extension = _known(extensions.PANELS, name)
    made = extension.load()
    if not isinstance(made, type) or not issubclass(made, Panel):
        raise extension.refused("is no class of the kind Panel", "see docs/extending.md")
    widget: Panel = extension.call(partial(made, id=f"added-{name}"))
    return widget


def _theme(name: str) -> Theme:
    """The theme in the TOML file that an entry point names as "package:file.toml"."""
    extension = _known(extensions.THEMES, name)
    raw, file = extension.read(), extension.target.rpartition(":")[2]
    try:
        if len(raw) > MAX_BYTES:
            raise ThemeError(f"{file}: larger than {MAX_BYTES} bytes")
        theme = parse(raw.decode("utf-8"), file)
        if theme.name != name:
            raise ThemeError(f"{file}: name must be {name!r}, as the entry point is called")
    except ValueError as error:
        why = f"cannot be read: {error}"
        raise extension.refused(why, f"mend or uninstall {extension.package}") from None
    return theme


def _line(error: ExtensionError) -> str:
    return f"{error.what} ({error.where}); {error.remedy}"


def _known(group: str, name: str) -> Extension:
    extension = extensions.find(group, name)
    assert extension is not None
    return extension
