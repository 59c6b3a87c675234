"""The rules that a run of an earlier version keeps, where a new run has others."""

from typing import Any

from darts_engine.run.settings import earlier, presets, recipes
from darts_engine.run.settings.config import from_plain, known_fields, to_plain


def kept_rules(plain: dict[str, Any]) -> list[str]:
    """A line for each such rule; none for a run of this version.

    Args:
        plain: the tables of the run's config as they are written.

    Raises:
        NotFoundError: its method or recipe is unknown.
    """
    kind = str(plain.get("kind"))
    known = known_fields(kind)
    if not earlier.is_earlier(plain, known):
        return []
    keys = [
        f"{one.section}.{one.field}"
        for one in earlier.LATER[kind]
        if one.matters(plain) and one.field not in plain[one.section]
    ]
    if kind == "search":
        # Where the method itself sets something else now.
        method = presets.preset(plain["search"]["method"])
        keys += method.in_space.get(plain["space"]["space"], {})
    whole, today = earlier.completed(plain, known), _today(plain, kind)
    lines = []
    for key in dict.fromkeys(keys):
        section, _, field = key.partition(".")
        was, now = whole[section][field], today[section][field]
        if was != now:
            lines.append(f"{key} = {_word(was)}, where a new run has {_word(now)}")
    return lines


def _today(plain: dict[str, Any], kind: str) -> dict[str, Any]:
    """All settings that a run of the same method, space and recipe begins with today."""
    begin: dict[str, Any] = {"kind": kind}
    if kind == "search":
        begin["search"] = {"method": plain["search"]["method"]}
        begin["space"] = {"space": plain["space"]["space"]}
    if recipe := recipes.named_in(plain):
        begin = recipes.merged(recipes.settings(recipe, kind), begin)
    return to_plain(from_plain(begin))


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
