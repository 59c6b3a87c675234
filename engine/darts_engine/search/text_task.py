"""What a search on text does otherwise than one on images; `task.py` has what they share.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.1.2 and appendix A.1, and the official code
(quark0/darts f276dd3, rnn/train_search.py). The hidden states of both sides are carried from step
to step without their graph. A step's learning rate is scaled by the length that was drawn for its
window, and so is the rate of alpha's virtual step. The weights also descend slowness and activation
regularisation, which alpha's gradient does not know. Shapes: L rows of text, B columns, n width.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.data.text.corpus import Corpus
from darts_engine.memory import text as memory
from darts_engine.memory.footprint import Footprint
from darts_engine.methods.schedules.staged import Stage
from darts_engine.optim.text_loss import activation, negative_log_likelihood, slowness
from darts_engine.run.settings.config import SearchConfig
from darts_engine.search.task import Search
from darts_engine.search.text_report import TextReport
from darts_engine.search.text_sides import TextSides
from darts_engine.spaces.space import Space
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.recurrent import RecurrentSupernet
from darts_engine.supernet.relaxed import Batch, Outcome, RelaxedNetwork


class TextSearch(Search):
    """A recurrent supernet, the method that moves its alpha, and the text.

    Args:
        config: of the run.
        corpus: the weights learn from its training part, alpha from its validation part.
        device: where the supernet computes.

    Raises:
        DataError: a part is too short for its columns.
    """

    unit = "tokens"
    make_halves = TextSides
    make_report = TextReport
    halves: TextSides
    supernet: RecurrentSupernet

    def __init__(self, config: SearchConfig, corpus: Corpus, device: torch.device) -> None:
        self._corpus = corpus
        super().__init__(config, corpus, device)

    def _supernet_of(self, stage: Stage, space: Space) -> RelaxedNetwork:  # noqa: ARG002
        supernet = space.supernet(0, len(self._corpus.tokens))
        devices.place(supernet, self.device, channels_last=False)
        return supernet

    def footprint(self) -> Footprint:
        """The memory that a step needs."""
        return memory.of_search(self.supernet, self.config)

    # The step -------------------------------------------------------------------------------------

    def step(self, epoch: int, step: int) -> int:
        """One alpha step, then one weight step with the new alpha, as `Search.step`.

        Returns:
            Tokens in the weight batch.
        """
        if step == 1:
            self.halves.begin_epoch()
        length = self.halves.window(epoch, step).drawn
        with self._rate_times(length / self.config.text.bptt):
            return super().step(epoch, step)

    @contextmanager
    def _rate_times(self, factor: float) -> Iterator[None]:
        """Inside, the weights learn at the epoch's rate times a factor."""
        (group,) = self._optimizer.param_groups
        rate = group["lr"]
        group["lr"] = rate * factor
        try:
            yield
        finally:
            group["lr"] = rate

    def _alpha_step(self, batch: Batch, weight_batch: Batch, epoch: int, step: int) -> Tensor:
        """As `Search._alpha_step`; the next alpha batch goes on from the state that it returns.

        Of second order that is the state of the network after its virtual step.
        """
        self.halves.alpha_hidden = super()._alpha_step(batch, weight_batch, epoch, step)
        return self.halves.alpha_hidden

    def _weight_step(
        self, batch: Batch, alpha_batch: Batch | None, epoch: int, step: int
    ) -> Tensor:
        """As `Search._weight_step`; the next weight batch goes on from the state it returns."""
        hidden = super()._weight_step(batch, alpha_batch, epoch, step)
        self.halves.weight_hidden = hidden.detach()
        return hidden

    def _training_loss(self, batch: Batch, mixing: Mixing) -> tuple[Tensor, Outcome]:
        """The cross entropy with slowness and activation regularisation, and without."""
        (tokens, hidden), targets = batch
        reading = self.supernet.read(tokens, hidden, mixing)
        loss, text = negative_log_likelihood(reading.log_probabilities, targets), self.config.text
        objective = loss
        if text.slowness:
            objective = objective + text.slowness * slowness(reading.states)
        if text.activation_reg:
            objective = objective + text.activation_reg * activation(reading.dropped)
        return objective, Outcome(loss, reading.hidden)

    # Checkpoints ----------------------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """What a checkpoint and a run must have in common."""
        config, corpus = self.config, self._corpus
        data, text = config.data, config.text
        return {
            "kind": "search",
            "method": config.search.method,
            "space": f"{config.space.space} n={text.width} N={config.space.nodes}",
            # Words have other numbers in a text that begins otherwise, so counts are not enough.
            "data": f"{corpus.name} of {len(corpus.train)} and {len(corpus.valid)} tokens, "
            f"{len(corpus.tokens)} different, {corpus.digest('train', 'valid')}",
            # A position in an epoch means nothing in other windows.
            "data order": f"batch {data.batch_size} bptt {text.bptt} seed {config.engine.seed}",
        }
