"""DARTS-ADA: where the eigenvalue rule would stop, restart with more weight decay.

Zela et al., R-DARTS, 2020, arXiv 1909.09656, section 5, with the constants of its script. The rule
names an epoch. The search restarts from that epoch's end, with the weight decay multiplied. Once
the decay is at its maximum the rule is ignored: the search goes on to its last epoch, as in the
code and the paper.

DEVIATION: after a restart the code keeps a rule that still holds the measurements of the epochs
given up; it restores the earlier ones into a rule that it does not use. Here the restored one is
used.
"""

import math
from collections.abc import Sequence
from typing import Any

from darts_engine.methods.stopping.rules import EigenvalueRule, EpochEvidence, Verdict

# The rounding error of a quotient of logarithms.
ROUND_OFF = 1e-9


class Adaptation:
    """Applies the rule to every epoch; a verdict names the epoch to restart from.

    Args:
        rule: decides when the eigenvalue rises, and since which epoch.
        weight_decay: at the start, above 0.
        factor: each adaptation multiplies the decay by this; 10 in the script.
        most: the largest decay, above `weight_decay`; 0.03 in the script.
    """

    def __init__(
        self, rule: EigenvalueRule, weight_decay: float, factor: float, most: float
    ) -> None:
        self._rule = rule
        self._weight_decay, self._factor, self._most = weight_decay, factor, most
        # DEVIATION: the code multiplies past the maximum, and stops when the logarithms of both
        # agree to one digit. With the script's constants the decays are the same.
        times = math.log(most / weight_decay) / math.log(factor)
        self._times = math.ceil(times - ROUND_OFF)
        self._returns: list[int] = []

    def check(self, evidence: EpochEvidence) -> Verdict | None:
        """Apply the rule to the next epoch; the restart, while the weight decay can still grow."""
        verdict = self._rule.check(evidence)
        return verdict if self._left else None

    @property
    def _left(self) -> int:
        return self._times - len(self._returns)

    def weight_decay(self, epoch: int) -> float:
        """The weight decay of an epoch (from 1), past or future, by the adaptations so far."""
        # Each adaptation before this epoch has multiplied the decay, up to the maximum.
        adapted = sum(back < epoch for back in self._returns)
        if adapted >= self._times:
            return self._most
        return self._weight_decay * self._factor**adapted

    def may_return_to(self, epoch: int) -> Sequence[int]:
        """The epochs up to `epoch` that later verdicts may name.

        The next measurement may go back by the rule's reach, and after that restart another
        measurement may go back further.
        """
        if not self._left:
            return range(0)
        every, first = self._rule.every, self._rule.first
        following = epoch - epoch % every + every
        lowest = following - self._rule.reach - (self._left - 1) * (self._rule.reach - every)
        lowest = max(lowest, first)
        return range(lowest + -lowest % every, epoch + 1, every)

    def adapt(self, epoch: int, returns: Sequence[int]) -> None:
        """Multiply the decay from the end of an epoch on. The rule is already restored.

        Args:
            epoch: the epoch that the search restarted from.
            returns: `returns` before the restart.
        """
        # The adaptations made after later epochs hold from this one on too.
        self._returns = [*(min(back, epoch) for back in returns), epoch]

    @property
    def returns(self) -> Sequence[int]:
        """For each adaptation the epoch after whose end it holds."""
        return tuple(self._returns)

    def state(self) -> dict[str, Any]:
        """The rule's measurements, and the adaptations so far."""
        return {"rule": self._rule.state(), "returns": list(self._returns)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._rule.load_state(state["rule"])
        self._returns = list(state["returns"])
