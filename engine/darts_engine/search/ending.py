"""Whether a search ends or goes back after an epoch, and which epoch's genotype is its result."""

from collections.abc import Sequence
from typing import Any

from darts_engine.methods import axes
from darts_engine.methods.stopping.adapt import Adaptation
from darts_engine.methods.stopping.rules import EigenvalueRule, EpochEvidence, Verdict
from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.text import parse
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.position import Position
from darts_engine.search.alerts import Alerts


class Ending:
    """Applies the stop rule, the weight decay's adaptation and the alerts to every epoch.

    Args:
        config: of the search; `method.stop` names the rule.

    Attributes:
        rollback: the earlier epoch that the search restarts from after the epoch that just ended.
        verdict: why the search is over, once it is.
    """

    def __init__(self, config: SearchConfig) -> None:
        self._epochs = config.search.epochs
        self._stop = axes.stop(config)
        self._adaptation: Adaptation | None = axes.adaptation(config)
        every = 0 if config.method.stop == "eigenvalue" else config.method.hessian_every
        rising = EigenvalueRule(every=every) if every else None
        self._alerts = Alerts(rising, config.search.entropy_alert)
        self.rollback: Verdict | None = None
        self.verdict: Verdict | None = None
        # The genotype at each epoch's end, for rules that go back.
        self._genotypes: list[str] = []

    def check(
        self, position: Position, evidence: EpochEvidence, entropies: dict[str, float | None]
    ) -> list[events.Event]:
        """Apply the rules to an epoch.

        Args:
            position: the epoch's end.
            evidence: what the rules judge it by.
            entropies: the mean entropy of each cell's edges, nats.

        Returns:
            Alerts about the signs that began, and about the end of the search. None on a rollback:
            the epoch is given up.
        """
        self._genotypes.append(evidence.genotype.text())
        is_last = position.epoch == self._epochs
        if self._adaptation is not None:
            rollback = self._adaptation.check(evidence)
            self.rollback = None if is_last else rollback
            if self.rollback is not None:
                return []
        reported: list[events.Event] = [*self._alerts.check(position, evidence, entropies)]
        verdict = self._stop.check(evidence) if self._stop is not None else None
        if verdict is None or is_last:
            return reported
        self.verdict = verdict
        message = (
            f"the search ends: {verdict.reason}; the genotype of epoch {verdict.epoch} is its "
            "result"
        )
        return [*reported, position.stamp(events.AlertRaised, code="stop_rule", message=message)]

    def result(self, now: Genotype) -> Genotype:
        """The genotype that the search results in; `now` is the one derived at the last epoch."""
        if self.verdict is None:
            return now
        return parse(self._genotypes[self.verdict.epoch - 1])

    # Going back -----------------------------------------------------------------------------------

    def may_return_to(self, epoch: int) -> Sequence[int]:
        """The epochs up to `epoch`, which is done, that a later rollback may restart from."""
        return self._adaptation.may_return_to(epoch) if self._adaptation else ()

    def weight_decay(self, epoch: int) -> float | None:
        """The weight decay of an epoch (from 1); None where the search does not adapt it."""
        return self._adaptation.weight_decay(epoch) if self._adaptation else None

    def roll_back(self, state: dict[str, Any], position: Position) -> list[events.Event]:
        """Restart from `state`, saved at `position`, with more weight decay from there on.

        The rule's measurements are those of `state`. The adaptations so far are kept.
        """
        rollback, adaptation = self.rollback, self._adaptation
        assert rollback is not None
        assert adaptation is not None
        returns = adaptation.returns
        self.load_state(state)
        adaptation.adapt(position.epoch, returns)
        self.rollback = None
        decay = adaptation.weight_decay(position.epoch + 1)
        # The consequence comes first: narrow panels cut the rest.
        place = f"the end of epoch {position.epoch}"
        message = f"back to {place} with weight decay {decay:g}: {rollback.reason}"
        return [position.stamp(events.AlertRaised, code="weight_decay", message=message)]

    # Checkpoints ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything a later check depends on."""
        return {
            "stop": self._stop.state() if self._stop else {},
            "adaptation": self._adaptation.state() if self._adaptation else {},
            "alerts": self._alerts.state(),
            "genotypes": "\n".join(self._genotypes),
            "verdict": list(self.verdict) if self.verdict else [],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if self._stop:
            self._stop.load_state(state["stop"])
        if self._adaptation:
            self._adaptation.load_state(state["adaptation"])
        self._alerts.load_state(state["alerts"])
        self._genotypes = state["genotypes"].splitlines()
        self.verdict = Verdict(*state["verdict"]) if state["verdict"] else None
