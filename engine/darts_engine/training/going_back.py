"""Going back after numbers that are not finite: to the end of the best epoch, a few times.

At a learning rate of 20 a training on text meets such numbers now and then. The official code then
loads its best checkpoint and goes on.

DEVIATION: it goes on whatever the cause, and for ever if the cause stays. Ours gives up after
`TRIES` returns to one epoch. As the random state is not saved there, its next try draws other
numbers; ours names other random streams for each try, so that a resumed run has the same ones.
"""

from dataclasses import dataclass

from darts_engine.run.errors import NotFiniteError

TRIES = 3


@dataclass(frozen=True)
class Rollback:
    """A decision to restart from the end of `epoch`, because of `reason`."""

    epoch: int
    reason: str


class GoingBack:
    """Counts the returns to an epoch.

    Attributes:
        tries: returns to the best epoch so far. It is part of the state.
        decision: where to go back to now; None to go on.
    """

    def __init__(self) -> None:
        self.tries = 0
        self.decision: Rollback | None = None

    def decide(self, error: NotFiniteError, best_epoch: int) -> None:
        """Decide to go back to the end of the best epoch.

        Args:
            error: what was not finite, and where.
            best_epoch: from 1; 0 if there is none yet.

        Raises:
            NotFiniteError: there is none, or it was returned to often enough. Lower the learning
                rate.
        """
        if not best_epoch:
            raise error
        if self.tries >= TRIES:
            raise NotFiniteError(
                f"{error.what}, also after {TRIES} returns to the end of epoch {best_epoch}",
                where=error.where,
                remedy="start anew with a lower --lr or --grad-clip",
            ) from error
        self.decision = Rollback(best_epoch, f"{error.what}: {error.where}")

    def returned(self, tries: int) -> None:
        """Go on, after one more than the `tries` of the state that was returned to."""
        self.tries, self.decision = tries + 1, None

    def purpose(self, name: str) -> str:
        """The purpose that a random stream is named by."""
        return f"{name}, try {self.tries}" if self.tries else name
