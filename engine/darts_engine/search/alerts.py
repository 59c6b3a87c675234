"""Alerts about signs of a collapsing search. The search goes on.

Two signs: a rising dominant eigenvalue, by the stop rule of R-DARTS (Zela et al., 2020, arXiv
1909.09656, section 4.3), and an entropy below a limit. An alert is raised once when its sign
begins, and again only after the sign was gone. Skip connections are counted in
architecture_report.py.
"""

from collections.abc import Mapping
from typing import Any

from darts_engine.methods.stopping.rules import EigenvalueRule, EpochEvidence
from darts_engine.run import events
from darts_engine.runner.position import Position
from darts_engine.search.architecture_report import cell_label


class Alerts:
    """Checks every epoch for signs of collapse.

    Args:
        rising: the rule for the eigenvalue; None where a stop rule applies it, or where no
            eigenvalue is measured.
        entropy_alert: alert when the mean entropy of a cell's edges is below this, nats; 0 = never.
    """

    def __init__(self, rising: EigenvalueRule | None, entropy_alert: float) -> None:
        self._rising, self._entropy_alert = rising, entropy_alert
        # The signs that were there at the end of the last epoch: "code cell".
        self._present: set[str] = set()

    def check(
        self, position: Position, evidence: EpochEvidence, entropy: Mapping[str, float | None]
    ) -> list[events.AlertRaised]:
        """Alerts for the signs that began in this epoch.

        Args:
            position: the epoch's end.
            evidence: has the eigenvalue, None in epochs that did not measure it.
            entropy: the mean entropy of each cell's edges, nats; None where it is not finite.
        """
        signs: dict[tuple[str, str], str] = {}
        if self._rising is not None:
            verdict = self._rising.check(evidence)
            if verdict is not None:
                signs["eigenvalue", ""] = f"{verdict.reason}: a sign of collapse"
            elif evidence.eigenvalue is None and "eigenvalue " in self._present:
                # Not measured in this epoch: the sign is still there.
                signs["eigenvalue", ""] = ""
        for cell, value in entropy.items():
            if value is not None and value < self._entropy_alert:
                signs["entropy", cell] = (
                    f"the {cell_label(cell)}'s entropy fell to {value:.3f} nats "
                    f"(alert below {self._entropy_alert:g})"
                )
        new = {key: text for key, text in signs.items() if " ".join(key) not in self._present}
        self._present = {" ".join(key) for key in signs}
        return [
            position.stamp(events.AlertRaised, code=code, message=message)
            for (code, _), message in new.items()
        ]

    def state(self) -> dict[str, Any]:
        """The signs that are there, and the eigenvalues so far."""
        rising = self._rising.state() if self._rising else {}
        return {"told": sorted(self._present), "rising": rising}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._present = set(state["told"])
        if self._rising and state["rising"]:
            self._rising.load_state(state["rising"])
