"""`darts-tui methods`: the search methods, their axes, and combinations without a meaning."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import msgspec

from darts_engine.run.architecture.spaces import SPECS
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import passes
from darts_engine.run.settings.config import SearchConfig, override, settings
from darts_engine.run.settings.methods import (
    CHOICES,
    MethodSection,
    choices,
    refuse_nonsense,
)
from darts_engine.run.settings.presets import PRESETS, preset


def describe(name: str) -> dict[str, Any]:
    """A method as `methods --json` prints it.

    `axes` has its choice on every axis, `settings` what the method sets by itself, and `refused`
    the choices and spaces that have no meaning with it.

    Raises:
        NotFoundError: there is no such method.
    """
    known = preset(name)
    config = _with(name)
    step = passes.of_step(config)
    return {
        "name": name,
        "about": known.summary,
        "paper": known.paper,
        "settings": known.settings,
        "settings_in_space": dict(known.in_space),
        "axes": msgspec.to_builtins(config.method) | {"order": config.search.order},
        "passes_per_step": {"forward": step.forward, "backward": step.backward},
        "refused": _refused_with(name),
    }


def names() -> list[str]:
    """All methods."""
    return list(PRESETS)


def list_text() -> str:
    """One line for each method, and the combinations that have no meaning."""
    wide = max(map(len, PRESETS))
    lines = [f"{name:<{wide}}  {known.summary}" for name, known in PRESETS.items()]
    lines += ["", "Axes combine, as in --method pc-darts --perturbation mean-shift, except:"]
    for why, pairs in refusals().items():
        lines += [f"  {why}", *(f"      {pair}" for pair in pairs)]
    return "\n".join([*lines, "", "'darts-tui methods NAME' explains one."])


def text(found: dict[str, Any]) -> str:
    """One method for people."""
    step = found["passes_per_step"]
    lines = [
        f"{found['name']}: {found['about']}",
        found["paper"],
        f"{step['forward']} forward and {step['backward']} backward passes a step",
        "",
        "sets" if found["settings"] else "sets nothing: it is what the other methods change",
    ]
    lines += [f"  {option(key):24}{_word(value)}" for key, value in found["settings"].items()]
    lines += [
        f"  {option(key):24}{_word(value)} in the space {space}"
        for space, settings_there in found["settings_in_space"].items()
        for key, value in settings_there.items()
    ]
    lines += ["", "axes"]
    lines += [
        f"  {option(f'method.{axis}'):24}{_word(found['axes'][axis]):14}"
        f"of {', '.join(choices(axis))}"
        for axis in CHOICES
    ]
    if found["refused"]:
        lines += ["", "has no meaning with it"]
        lines += [f"  {choices}: {why}" for choices, why in _grouped(found["refused"])]
    return "\n".join(lines)


def _grouped(refused: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of (choices, reason); spaces that are refused for one reason are one pair."""
    spaces: dict[str, list[str]] = {}
    for choice, why in refused.items():
        name = choice.removeprefix("--space ")
        if name == choice:
            yield choice, why
        else:
            spaces.setdefault(why, []).append(name)
    for why, names_of_spaces in spaces.items():
        yield f"--space {', '.join(names_of_spaces)}", why


def option(key: str) -> str:
    """The command-line option of a setting, by its dotted key."""
    table = {setting.key: setting.option_name for setting in settings("search")}
    return table[key]


def refusals() -> dict[str, list[str]]:
    """Why two choices have no meaning together: reason -> pairs, as options."""
    every = [(axis, word) for axis, words in CHOICES.items() for word in words]
    alone = {choice for choice in every if _why(dict([choice]))}
    found: dict[str, list[str]] = {}
    for choice in every:
        if choice in alone:
            found.setdefault(_why(dict([choice])), []).append(_as_option(*choice))
    for one, other in combinations([choice for choice in every if choice not in alone], 2):
        why = _why(dict([one, other])) if one[0] != other[0] else ""
        if why:
            pair = f"{_as_option(*one)} {_as_option(*other)}"
            found.setdefault(why, []).append(pair)
    return found


def _why(choices: dict[str, str]) -> str:
    try:
        refuse_nonsense(msgspec.convert(choices, MethodSection), "")
    except ConfigError as error:
        return error.what
    return ""


def _refused_with(name: str) -> dict[str, str]:
    found = {}
    for axis, words in CHOICES.items():
        for word in words:
            try:
                _with(name, **{f"method.{axis}": word})
            except ConfigError as error:
                found[_as_option(axis, word)] = error.what
    for space in SPECS:
        try:
            _with(name, **{"space.space": space})
        except ConfigError as error:
            what = error.what.removesuffix(f": it has no meaning in the space {space}")
            found[_as_option("space", space)] = what
    return found


def _with(name: str, **changes: str) -> SearchConfig:
    made = override(SearchConfig(), {"search.method": name, **changes})
    assert isinstance(made, SearchConfig)
    return made


def _as_option(axis: str, word: str) -> str:
    return f"--{axis.replace('_', '-')} {word}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"
