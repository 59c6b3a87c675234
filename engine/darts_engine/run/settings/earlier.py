"""Configs of runs from before a setting existed.

A run's config file has every setting of its time. Where a later version has one more, or another
default, an earlier run keeps the rule that it began with: `completed` adds the settings that it
lacks, where they matter to it, with the values that stand for what it did. A file of a few settings
is not the config of a run; it takes today's defaults.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from darts_engine.run.architecture.spaces import spec_of
from darts_engine.run.errors import ExtensionError

Tables = dict[str, Any]
# A file with this share of the settings is the config of a run, perhaps edited.
WHOLE = 0.9
# Tables that came later, of which runs that have none take the defaults.
LATER_TABLES = frozenset({"text"})


def value_of(plain: Tables, key: str) -> Any:
    """The value of a dotted key in nested settings, which may have any shape; None if missing."""
    section, _, field = key.partition(".")
    table = plain.get(section)
    return table.get(field) if isinstance(table, dict) else None


def _if(key: str, value: str) -> Callable[[Tables], bool]:
    return lambda plain: bool(value_of(plain, key) == value)


class Later(NamedTuple):
    """A setting that came with version 0.2.0.

    Attributes:
        key: dotted.
        before: the value that stands for what earlier runs did.
        matters: whether it changes anything in a config.
    """

    key: str
    before: Callable[[Tables], Any]
    matters: Callable[[Tables], bool]


SEARCH = (
    Later("method.gumbel_gradient", lambda _: "all", _if("method.relaxation", "gumbel")),
    Later("method.edge_ranking", lambda _: "mean", _if("method.relaxation", "dirichlet")),
    Later("method.stage_lr", lambda _: "restart", _if("method.schedule", "staged")),
    Later("method.ranking_counts_none", lambda _: True, _if("method.stop", "ranking")),
    Later("method.resting_weights", lambda _: "rest", lambda _: False),
    Later("method.hessian_decay", lambda _: False, lambda _: False),
    Later(
        "space.last_bn_momentum",
        lambda plain: value_of(plain, "space.bn_momentum"),
        lambda plain: str(value_of(plain, "space.space")).startswith("1shot1"),
    ),
)
TRAIN = (
    Later(
        "network.init",
        lambda _: "fan-out",
        lambda plain: value_of(plain, "network.network") != "genotype",
    ),
)
DATA = (
    Later("data.labels", lambda _: "", lambda _: False),
    Later("data.max_level", lambda _: 0.0, lambda _: False),
)
LATER = {"search": SEARCH + DATA, "train": TRAIN + DATA}


def kind_of(plain: Tables) -> str:
    """The kind of run that nested settings are of, "search" if they do not say."""
    return str(plain.get("kind", "search"))


def is_earlier(plain: Tables, known: dict[str, set[str]]) -> bool:
    """Whether the tables are the config of a run of an earlier version.

    It has nearly all settings of today (a line may have been lost) and none of those that came
    later.

    Args:
        plain: nested settings as they are in a file.
        known: the fields of each table today.
    """
    later = {one.key for one in LATER.get(kind_of(plain), ())}
    keys = {
        f"{section}.{field}"
        for section, fields in known.items()
        for field in fields
        if section not in LATER_TABLES
    }
    present = {key for key in keys if value_of(plain, key) is not None}
    before = keys - later
    return bool(later) and not present & later and len(present) >= WHOLE * len(before)


def completed(plain: Tables, known: dict[str, set[str]]) -> Tables:
    """The tables with what came later, where it matters; unchanged if they are not `is_earlier`.

    Args:
        plain: nested settings as they are in a file.
        known: the fields of each table today.
    """
    if not is_earlier(plain, known):
        return plain
    out = {key: dict(table) if isinstance(table, dict) else table for key, table in plain.items()}
    for one in LATER[kind_of(plain)]:
        section, _, field = one.key.partition(".")
        if one.matters(plain):
            out[section][field] = one.before(plain)
    if value_of(plain, "method.schedule") == "staged":
        out["method"]["stage_candidates"] = _first_stage_with_all(plain)
    return out


def _first_stage_with_all(plain: Tables) -> Any:
    """The candidates of each stage, of which the first stage of earlier runs had all."""
    listed, space = value_of(plain, "method.stage_candidates"), value_of(plain, "space.space")
    if not isinstance(listed, str) or not isinstance(space, str):
        return listed
    first, comma, others = listed.partition(",")
    try:
        spec = spec_of(space)
    except ExtensionError:
        return listed
    if spec is None or not first.strip().isdecimal():
        return listed
    without_none = value_of(plain, "space.without_none") is True
    most = max(int(first), spec.candidates_per_edge(without_none=without_none))
    return f"{most}{comma}{others}"
