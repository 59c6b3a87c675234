"""Which settings of a run may be edited between two of its engines.

A checkpoint holds the settings that it was made with. An engine that takes the run up compares them
with `config.toml`: a setting that decides how the run computes must be the same, or the figures
before and after the checkpoint would be of two different runs under one name.
"""

from typing import Any, NamedTuple

from darts_engine.run.settings import earlier
from darts_engine.run.settings.config import known_fields

Tables = dict[str, Any]

# What a machine needs, and what is looked at: no setting here changes what the run computes but for
# rounding.
PLACE = frozenset(
    {
        "basis.recipe",
        "engine.device",
        "engine.threads",
        "engine.deterministic",
        "engine.channels_last",
        "engine.compile",
        "engine.checkpoint_activations",
        "engine.memory_check",
        "data.data_dir",
        "data.download",
        "data.workers",
        "search.skip_alert",
        "search.entropy_alert",
        "search.gap_every",
        "text.statistics",
        "search.tables",
        "search.surrogate",
        "search.hvp_check",
        "network.weights",
        "checkpoint.checkpoint_every",
        "checkpoint.checkpoint_seconds",
        "checkpoint.keep",
    }
)
# What a person may decide anew for the rest of a run: its length, its precision, what is switched
# on in a training, and where images of the same name and shape are.
PLAN = frozenset(
    {
        "search.epochs",
        "train.epochs",
        "engine.amp",
        "engine.sync_bn",
        "data.dataset",
        "weights.sam_rho",
        "weights.sam_adaptive",
        "weights.ema",
    }
)
# The identity of a task compares these, in a form of its own.
COMPARED_BY_THE_TASK = frozenset({"network.genotype"})
# Every checkpoint has the device and the threads that were used, which are reported anyway.
REPORTED = frozenset({"engine.device", "engine.threads"})


class Edit(NamedTuple):
    """A setting that differs.

    Attributes:
        key: its dotted name.
        was: its value in the checkpoint.
        now: its value in the config.
    """

    key: str
    was: Any
    now: Any

    @property
    def is_allowed(self) -> bool:
        """Whether the run may go on with it."""
        return self.key in PLACE or self.changes_results

    @property
    def changes_results(self) -> bool:
        """Whether the run goes on otherwise than it would have."""
        return self.key in PLAN

    def __str__(self) -> str:
        return f"{self.key} was {self.was} and is {self.now}"


def edits(before: Tables, now: Tables) -> list[Edit]:
    """The settings that differ, in the config's order.

    Settings that only one of the two has are of another version, and are left out.

    Args:
        before: nested settings of a checkpoint, perhaps of an earlier version.
        now: nested settings of the run.
    """
    before = earlier.completed(before, known_fields(str(before.get("kind"))))
    found = []
    for section, table in now.items():
        old = before.get(section)
        if not isinstance(table, dict) or not isinstance(old, dict):
            continue
        for field, value in table.items():
            key = f"{section}.{field}"
            if field in old and old[field] != value and key not in COMPARED_BY_THE_TASK:
                found.append(Edit(key, old[field], value))
    return found
