"""Recipes: the settings of published results, each a TOML file with its sources as comments.

A recipe has `about` (what it reproduces), `source`, and a table of settings for a `search`, a
`train` or both, in the layout of the config. Settings that it leaves out keep their default.
"""

import difflib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from darts_engine.run.errors import ConfigError, NotFoundError
from darts_engine.run.settings.config import KINDS, decode

KEY = "basis.recipe"
_SUFFIX = ".toml"


class Recipe(NamedTuple):
    """One recipe: its name, what it reproduces, its sources, and its file as text and tables."""

    name: str
    about: str
    source: str
    text: str
    tables: dict[str, dict[str, Any]]

    @property
    def kinds(self) -> list[str]:
        """The kinds of runs that it is for."""
        return list(self.tables)


def names() -> list[str]:
    """The names of all recipes."""
    entries = [entry.name for entry in _folder().iterdir()]
    return sorted(name.removesuffix(_SUFFIX) for name in entries if name.endswith(_SUFFIX))


def read(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        NotFoundError: there is none. The hint has the most similar name.
    """
    if name not in (known := names()):
        near = difflib.get_close_matches(name, known, 1, 0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise NotFoundError(
            f"there is no recipe {name[:60]!r}", remedy=f"{hint}There are: {', '.join(known)}"
        )
    text = _folder().joinpath(name + _SUFFIX).read_text("utf-8")
    plain = decode(text, where=name)
    tables = {kind: plain[kind] for kind in KINDS if kind in plain}
    return Recipe(name, plain["about"], plain["source"], text, tables)


def settings(name: str, kind: str) -> dict[str, Any]:
    """A recipe's tables for a kind of run, with `basis.recipe` set to its name.

    Raises:
        ConfigError: it is not for that kind of run.
        NotFoundError: there is no such recipe.
    """
    recipe = read(name)
    if kind not in recipe.tables:
        raise ConfigError(
            f"{name} is no recipe for a {kind}",
            where="--recipe",
            remedy=f"use 'darts-tui {recipe.kinds[0]} --recipe {name}'",
        )
    return merged(recipe.tables[kind], {"kind": kind, "basis": {"recipe": name}})


def named_in(plain: dict[str, Any]) -> str:
    """The recipe that a config's tables name as their basis; empty if there is none."""
    table = plain.get("basis")
    recipe = table.get("recipe", "") if isinstance(table, dict) else ""
    return recipe if isinstance(recipe, str) else ""


def merged(basis: dict[str, Any], on_top: dict[str, Any]) -> dict[str, Any]:
    """Merge nested tables; fields of `on_top` replace those of `basis`."""
    out = dict(basis)
    for key, value in on_top.items():
        under = out.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        out[key] = under | value if both else value
    return out


def _folder() -> Traversable:
    return resources.files("darts_engine").joinpath("recipes")
