"""Signs of a collapsing search that people should hear of; the search goes on.

Skip connections are counted in architecture.py. Here are the others: the dominant eigenvalue that
rises as R-DARTS's stop rule has it (Zela et al., 2020, arXiv 1909.09656, section 4.3), and an
entropy below a limit. Each is told once when it begins, and again only after it was over.
"""

from collections.abc import Mapping
from typing import Any

from darts_engine.methods.stopping.rules import EigenvalueRule, EpochEvidence
from darts_engine.run import events
from darts_engine.runner.position import Position
from darts_engine.search.architecture_report import called


class Alerts:
    """Looks at each epoch's figures.

    Args:
        rising: tells when the eigenvalue rises; None where a stop rule does it, or nothing is
            measured.
        entropy_alert: the least mean entropy of a cell's edges that is well, nats; 0 = never tell.
    """

    def __init__(self, rising: EigenvalueRule | None, entropy_alert: float) -> None:
        self._rising, self._entropy_alert = rising, entropy_alert
        self._told: set[str] = set()

    def check(
        self, position: Position, evidence: EpochEvidence, entropy: Mapping[str, float | None]
    ) -> list[events.AlertRaised]:
        """What began in this epoch."""
        signs: dict[tuple[str, str], str] = {}
        if self._rising is not None:
            verdict = self._rising.check(evidence)
            if verdict is not None:
                signs["eigenvalue", ""] = f"{verdict.reason}: a sign of collapse"
            elif evidence.eigenvalue is None and "eigenvalue " in self._told:
                # Not measured in this epoch: as it was.
                signs["eigenvalue", ""] = ""
        for cell, value in entropy.items():
            if value is not None and value < self._entropy_alert:
                signs["entropy", cell] = (
                    f"the {called(cell)}'s entropy fell to {value:.3f} nats "
                    f"(alert below {self._entropy_alert:g})"
                )
        new = {key: message for key, message in signs.items() if " ".join(key) not in self._told}
        self._told = {" ".join(key) for key in signs}
        return [
            position.stamp(events.AlertRaised, code=code, message=message)
            for (code, _), message in new.items()
        ]

    def state(self) -> dict[str, Any]:
        """What was told, and the eigenvalues so far."""
        rising = self._rising.state() if self._rising else {}
        return {"told": sorted(self._told), "rising": rising}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._told = set(state["told"])
        if self._rising and state["rising"]:
            self._rising.load_state(state["rising"])
