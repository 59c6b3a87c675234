"""Configs of runs from before a setting existed.

A run's config file has every setting of its time. Where a later version has one more, or another
default, an earlier run keeps the rule that it began with: `completed` adds the settings that it
lacks, with the values that stand for what it did then. A file that lacks others too is not the
whole config of a run; it takes today's defaults.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from darts_engine.run.architecture.spaces import SPECS

Tables = dict[str, Any]


def _always(plain: Tables) -> bool:  # noqa: ARG001  the others look at the config
    return True


class Later(NamedTuple):
    """A setting that came after version 0.1.0.

    Attributes:
        section: its table.
        field: its name there.
        before: what earlier runs did; a function of their config where it depends on it.
        matters: whether it changes anything in a config.
    """

    section: str
    field: str
    before: Any
    matters: Callable[[Tables], bool] = _always

    def value(self, plain: Tables) -> Any:
        """What an earlier run with this config did."""
        return self.before(plain) if callable(self.before) else self.before


SEARCH = (
    Later(
        "method", "gumbel_gradient", "all", lambda plain: plain["method"]["relaxation"] == "gumbel"
    ),
    Later(
        "method", "edge_ranking", "mean", lambda plain: plain["method"]["relaxation"] == "dirichlet"
    ),
    Later("method", "stage_lr", "restart", lambda plain: plain["method"]["schedule"] == "staged"),
    Later(
        "method",
        "ranking_counts_none",
        True,
        lambda plain: plain["method"]["stop"] == "ranking",
    ),
    Later("method", "resting_weights", "rest"),
    Later("method", "hessian_decay", False),
    Later(
        "space",
        "last_bn_momentum",
        lambda plain: plain["space"]["bn_momentum"],
        lambda plain: plain["space"]["space"].startswith("1shot1"),
    ),
)
TRAIN = (
    Later("network", "init", "fan-out", lambda plain: plain["network"]["network"] != "genotype"),
)
LATER = {"search": SEARCH, "train": TRAIN}


def is_earlier(plain: Tables, known: dict[str, set[str]]) -> bool:
    """Whether the tables are the whole config of a run of an earlier version.

    Args:
        plain: nested settings as they are in a file.
        known: the fields of each table today.
    """
    later = {(one.section, one.field) for one in LATER.get(str(plain.get("kind")), ())}
    tables = {section: plain.get(section) for section in known}
    if not all(isinstance(table, dict) for table in tables.values()):
        return False
    missing = {
        (section, field)
        for section, fields in known.items()
        for field in fields
        if field not in plain[section]
    }
    return bool(missing) and missing <= later


def completed(plain: Tables, known: dict[str, set[str]]) -> Tables:
    """The tables with the settings that came later; unchanged if they are not `is_earlier`.

    Args:
        plain: nested settings as they are in a file.
        known: the fields of each table today.
    """
    if not is_earlier(plain, known):
        return plain
    out = {key: dict(table) if isinstance(table, dict) else table for key, table in plain.items()}
    for one in LATER[str(plain["kind"])]:
        out[one.section].setdefault(one.field, one.value(plain))
    if plain["kind"] == "search":
        out["method"]["stage_candidates"] = _first_stage_with_all(out)
    return out


def _first_stage_with_all(plain: Tables) -> str:
    """The candidates of each stage, of which the first stage of earlier runs had all."""
    text, spec = plain["method"]["stage_candidates"], SPECS.get(plain["space"]["space"])
    first, comma, others = text.partition(",")
    if spec is None or not first.strip().isdecimal():
        return str(text)
    all_of_them = spec.candidates_per_edge(without_none=plain["space"]["without_none"])
    return f"{max(int(first), all_of_them)}{comma}{others}"
