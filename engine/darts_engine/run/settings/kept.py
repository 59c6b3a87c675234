"""The rules that a run of an earlier version keeps, where a new run has others."""

from collections.abc import Collection
from typing import Any

from darts_engine.run.settings import earlier, presets, recipes
from darts_engine.run.settings.config import (
    Config,
    SearchConfig,
    from_plain,
    known_fields,
    to_plain,
)
from darts_engine.run.settings.earlier import kind_of, value_of


def kept_rules(written: dict[str, Any], config: Config, chosen: Collection[str] = ()) -> list[str]:
    """A line for each such rule; none where the file is of this version.

    Args:
        written: the tables of the config file as they are.
        config: the config that came of it.
        chosen: settings that were chosen anew on top of the file, dotted.

    Raises:
        NotFoundError: the recipe is unknown.
    """
    if not earlier.is_earlier(written, known_fields(kind_of(written))):
        return []
    plain = to_plain(config)
    keys = [one.key for one in earlier.LATER[kind_of(written)] if one.matters(plain)]
    if isinstance(config, SearchConfig):
        method, space = config.search.method, config.space.space
        if value_of(written, "search.method") == method:
            # Where the method itself sets something else now.
            keys += presets.preset(method).in_space.get(space, {})
    today = _today(plain, config)
    lines = []
    for key in dict.fromkeys(keys):
        was, now = value_of(plain, key), value_of(today, key)
        if was != now and key not in chosen:
            lines.append(f"{key} = {_word(was)}, where a new run has {_word(now)}")
    return lines


def _today(plain: dict[str, Any], config: Config) -> dict[str, Any]:
    """All settings that a run of the same method, space and recipe begins with today."""
    begin: dict[str, Any] = {"kind": kind_of(plain)}
    if isinstance(config, SearchConfig):
        begin["search"] = {"method": config.search.method}
        begin["space"] = {"space": config.space.space}
    if recipe := recipes.named_in(plain):
        begin = recipes.merged(recipes.settings(recipe, kind_of(plain)), begin)
    return to_plain(from_plain(begin))


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
