"""DARTS-ADA: where the eigenvalue rule would stop, go back and let the weights decay faster.

Zela et al., R-DARTS, 2020, arXiv 1909.09656, section 5, with the constants of its script. The rule
names an epoch; the search becomes what it was at that epoch's end, with the weights' decay
multiplied, and goes on from there. When the decay has reached its maximum the rule acts no more:
the search goes on to its last epoch, as in the code and the paper.

DEVIATION: the code goes on with a rule that still holds the measurements of the epochs it went back
behind. It restores the others into a rule that it then does not use; here that one is used.
"""

import math
from collections.abc import Sequence
from typing import Any

from darts_engine.methods.stopping.rules import EigenvalueRule, EpochEvidence, Verdict

# What a logarithm's last digits may be off.
ROUND_OFF = 1e-9


class Adaptation:
    """Looks at every epoch as a stop rule does; its verdict is where to go back to.

    Args:
        rule: when the eigenvalue rises, and since which epoch.
        weight_decay: the weights' at the start, above 0.
        factor: what an adaptation multiplies it by; 10 in the script.
        most: its maximum, above `weight_decay`; 0.03 in the script.
    """

    def __init__(
        self, rule: EigenvalueRule, weight_decay: float, factor: float, most: float
    ) -> None:
        self._rule = rule
        self._weight_decay, self._factor, self._most = weight_decay, factor, most
        # DEVIATION: the code multiplies past the maximum, and ends when the logarithms of both
        # agree to one digit. With the script's constants it comes to the same.
        times = math.log(most / weight_decay) / math.log(factor)
        self._times = math.ceil(times - ROUND_OFF)
        self._returns: list[int] = []

    def check(self, evidence: EpochEvidence) -> Verdict | None:
        """Take an epoch in; where to go back to, while the weight decay can still grow."""
        verdict = self._rule.check(evidence)
        return verdict if self._left else None

    @property
    def _left(self) -> int:
        return self._times - len(self._returns)

    def weight_decay(self, epoch: int) -> float:
        """The weights' decay in an epoch, as it was or, as far as is known now, will be."""
        adapted = sum(back < epoch for back in self._returns)
        if adapted >= self._times:
            return self._most
        return self._weight_decay * self._factor**adapted

    def may_return_to(self, epoch: int) -> Sequence[int]:
        """The epochs up to `epoch` whose ends later verdicts may name.

        The next measurement can lead back so far, and the one after that return further still.
        """
        if not self._left:
            return range(0)
        every, first = self._rule.every, self._rule.first
        following = epoch - epoch % every + every
        lowest = following - self._rule.reach - (self._left - 1) * (self._rule.reach - every)
        lowest = max(lowest, first)
        return range(lowest + -lowest % every, epoch + 1, every)

    def adapt(self, epoch: int, returns: Sequence[int]) -> None:
        """Let the decay grow from the end of an epoch on, after the rule is back at it.

        Args:
            epoch: where the search is now.
            returns: what `returns` was before it went back.
        """
        # What was adapted after this epoch holds from here on too.
        self._returns = [*(min(back, epoch) for back in returns), epoch]

    @property
    def returns(self) -> Sequence[int]:
        """For each adaptation the epoch after which it holds."""
        return tuple(self._returns)

    def state(self) -> dict[str, Any]:
        """The rule's measurements, and the adaptations so far."""
        return {"rule": self._rule.state(), "returns": list(self._returns)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._rule.load_state(state["rule"])
        self._returns = list(state["returns"])
