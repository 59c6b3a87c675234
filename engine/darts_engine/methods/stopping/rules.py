"""Rules that end a search before its last epoch, and name the epoch whose genotype it returns.

A rule is applied once to each epoch. R-DARTS's eigenvalue rule: Zela et al., 2020, arXiv
1909.09656, section 4.3, with the constants of its code. DARTS+: Liang et al., 2019, arXiv
1909.06035, criteria 1 and 1*.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from darts_engine.layers.operations import NONE, SKIP
from darts_engine.run.architecture.genotype import Genotype


class EpochEvidence(NamedTuple):
    """What a rule judges an epoch by.

    Attributes:
        epoch: from 1.
        eigenvalue: the dominant eigenvalue of the Hessian of the validation loss in alpha; None in
            epochs that did not measure it.
        genotype: derived at the epoch's end.
        rankings: for each cell, the column of every edge's strongest operation.
    """

    epoch: int
    eigenvalue: float | None
    genotype: Genotype
    rankings: Mapping[str, Sequence[int]]


class Verdict(NamedTuple):
    """A rule's decision: the search ends (or restarts) with the end of `epoch`, for `reason`."""

    epoch: int
    reason: str


class StopRule(Protocol):
    """Decides after every epoch whether the search ends."""

    def check(self, evidence: EpochEvidence) -> Verdict | None:
        """Apply the rule to the next epoch; the verdict if the search should end, else None."""

    def state(self) -> dict[str, Any]:
        """What later decisions depend on, as plain numbers."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""


class EigenvalueRule:
    """R-DARTS: stop when the smoothed dominant eigenvalue has grown by a factor.

    A local average is the mean of the last `window` measurements (of all so far while there are at
    least three). Its epoch is that of the window's middle. When it is more than `factor` times what
    it was `delta` measurements before, the search ends and returns that earlier epoch.

    Args:
        factor: 1.3 in the code; the paper words it as a ratio of 0.75.
        window: measurements in an average.
        delta: measurements between the two averages that are compared.
        every: epochs between measurements.
        not_before: the epoch to return to must be later than this epoch.

    Attributes:
        every: epochs between measurements.
        first: the first epoch to return to.
        reach: epochs between a measurement and the epoch that it returns to.
    """

    def __init__(
        self,
        factor: float = 1.3,
        window: int = 5,
        delta: int = 4,
        every: int = 1,
        not_before: int = 10,
    ) -> None:
        self._factor, self._window, self._delta = factor, window, delta
        # The code counts epochs from 0.
        self.every, self.first = every, not_before + 1
        self.reach = every * (window // 2 + delta)
        self._values: list[float] = []
        self._averages: list[float] = []

    def check(self, evidence: EpochEvidence) -> Verdict | None:
        """Add the epoch's measurement, if it has one, and compare the averages."""
        if evidence.eigenvalue is None:
            return None
        self._values.append(evidence.eigenvalue)
        if len(self._values) < 3:
            return None
        recent = self._values[-self._window :]
        self._averages.append(sum(recent) / len(recent))
        back = evidence.epoch - self.reach
        if back < self.first or len(self._averages) <= self._delta:
            return None
        # Stop where average(t) > factor * average(t - delta).
        now, before = self._averages[-1], self._averages[-1 - self._delta]
        if now <= self._factor * before or before <= 0:
            return None
        return Verdict(
            back, f"the dominant eigenvalue rose from {before:.3g} to {now:.3g} (local averages)"
        )

    def state(self) -> dict[str, Any]:
        """The measurements and averages so far."""
        return {"values": list(self._values), "averages": list(self._averages)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._values, self._averages = list(state["values"]), list(state["averages"])


class SkipRule:
    """DARTS+, criterion 1: stop when the normal cell keeps `most` skip connections or more.

    The genotype returned is that of the epoch before, which kept fewer. Cells of the first epochs
    are nearly random, and some begin with as many skips: until one has kept fewer there is nothing
    to return, and the search goes on.
    """

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._kept_fewer = False

    def check(self, evidence: EpochEvidence) -> Verdict | None:
        """Count the normal cell's skip connections."""
        skips = sum(
            edge.operation == SKIP for edge in evidence.genotype.edges(evidence.genotype.cells[0])
        )
        if skips < self._most:
            self._kept_fewer = True
            return None
        if not self._kept_fewer:
            return None
        return Verdict(evidence.epoch - 1, f"the normal cell keeps {skips} skip connections")

    def state(self) -> dict[str, Any]:
        """Whether a cell kept fewer."""
        return {"kept_fewer": self._kept_fewer}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        # Checkpoints of older versions do not have it; the next epoch sets it.
        self._kept_fewer = state.get("kept_fewer", False)


class RankingRule:
    """DARTS+, criterion 1*: stop when no edge's strongest operation changed for `epochs` epochs."""

    def __init__(self, epochs: int = 10) -> None:
        self._epochs = epochs
        self._last: dict[str, list[int]] = {}
        self._stable = 0

    def check(self, evidence: EpochEvidence) -> Verdict | None:
        """Compare the rankings with those of the epoch before."""
        now = {cell: list(ranking) for cell, ranking in evidence.rankings.items()}
        self._stable = self._stable + 1 if now == self._last else 0
        self._last = now
        if self._stable < self._epochs:
            return None
        return Verdict(evidence.epoch, f"no edge's choice has changed for {self._stable} epochs")

    def state(self) -> dict[str, Any]:
        """The last rankings, and for how many epochs they have not changed."""
        return {"last": self._last, "stable": self._stable}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._last = {cell: list(ranking) for cell, ranking in state["last"].items()}
        self._stable = int(state["stable"])


def strongest(weights: Sequence[Sequence[float]], operations: Sequence[Sequence[str]]) -> list[int]:
    """The column of each edge's strongest operation other than `none`.

    Args:
        weights: (E, O).
        operations: each edge's candidates, in the order of its columns.
    """
    return [
        max((o for o, name in enumerate(names) if name != NONE), key=row.__getitem__)
        for row, names in zip(weights, operations, strict=True)
    ]
