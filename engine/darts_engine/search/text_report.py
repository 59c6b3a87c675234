"""The events of a search on text: losses, perplexities per token, and hidden states' norms."""

from torch import Tensor

from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import Mean, number
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures
from darts_engine.runner.text_scores import TextScores
from darts_engine.search.report import SearchReport
from darts_engine.search.text_sides import TextSides


class TextReport(SearchReport):
    """As `SearchReport`, of text. Losses are means over predicted tokens."""

    make_meter = Mean
    make_scores = TextScores
    counts_skips = False
    _halves: TextSides
    _scores: TextScores
    recent: Mean
    _recent_alpha: Mean

    def add_weight_step(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:  # noqa: ARG002
        """Add a weight step's mean loss and the tokens (L, B) that it predicted."""
        for meter in (self._scores.train, self.recent):
            meter.add(loss, labels.numel())

    def add_alpha_step(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:  # noqa: ARG002
        """Add an alpha step's mean loss and the tokens (L, B) that it predicted."""
        self._recent_alpha.add(loss, labels.numel())

    def recent_figures(self) -> dict[str, float | None]:
        """The figures of `StepFinished`, of the steps since the last report."""
        return {"train_loss": self.recent.read(), "alpha_loss": self._recent_alpha.read()}

    def hidden_norm(self) -> float | None:
        """The mean L2 norm of the hidden states that the last step ended with."""
        return number(self._halves.hidden_norm())

    def finish_epoch(
        self, position: Position, timing: Timing, valid: Figures
    ) -> events.EpochFinished:
        """The epoch's losses and perplexities; those of the next epoch begin at 0."""
        return self._scores.finish_epoch(position, timing, valid[0])

    def finish(self, seconds: float, result: Genotype) -> events.RunFinished:
        """The run's last event."""
        return self._scores.finish(seconds, result)
