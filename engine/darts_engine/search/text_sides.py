"""What a search on text learns from: the weights from the training part, alpha from the validation.

As in the official code of DARTS' recurrent search (quark0/darts f276dd3, rnn/train_search.py). Both
parts are read in columns of consecutive text. A step goes on where the one before ended, from the
hidden state that it ended with; the alpha batch begins at the same row as the weight batch, or
where that is modulo the rows of its part. Shapes: T rows of text, B columns, L rows of a window, n
width.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from darts_engine.data.text.columns import window
from darts_engine.data.text.corpus import Corpus
from darts_engine.data.text.lengths import Window, mean_steps, windows
from darts_engine.run import events
from darts_engine.run.errors import DataError
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures, about
from darts_engine.runner.text_scores import mean_loss
from darts_engine.search.sides import Sides
from darts_engine.supernet.relaxed import Batch, Inputs


class TextSides(Sides):
    """The columns of both parts, and the hidden states that their next windows go on from.

    Args:
        config: its sections engine, data and text.
        corpus: a text; the test part is never read.
        device: where windows are made.

    Attributes:
        weight_hidden: the state (B, n) before the next weight batch.
        alpha_hidden: that before the next alpha batch. Both are zero where an epoch begins.
        longest: rows of the longest window that either part has room for.

    Raises:
        DataError: a part is too short for its columns, or they are all of the same text.
    """

    def __init__(self, config: SearchConfig, corpus: Corpus, device: torch.device) -> None:
        batch, text = config.data.batch_size, config.text
        self._train = corpus.columns("train", batch).to(device)
        self._valid = corpus.columns("valid", batch).to(device)
        for part, columns in (("train", self._train), ("valid", self._valid)):
            _refuse_equal(columns, f"{corpus.name}, {part}")
        self._whole_valid = corpus.columns("valid", text.eval_batch).to(device)
        self.longest = max(len(self._train), len(self._valid)) - 1
        self._bptt, self._seed = text.bptt, config.engine.seed
        self._found = corpus.found()
        self._windows: tuple[int, list[Window]] = (0, [])
        self.weight_hidden = torch.zeros(batch, text.width, device=device)
        self.alpha_hidden = torch.zeros_like(self.weight_hidden)
        self.steps_per_epoch = mean_steps(len(self._train), text.bptt)
        self.sizes = {
            "weights": len(corpus.train),
            "alpha": len(corpus.valid),
            "test": len(corpus.test),
        }

    def about(self, position: Position) -> list[events.Event]:
        """An event about the parts of the text."""
        return about(self._found, "", position)

    def begin_epoch(self) -> None:
        """Forget what was read."""
        self.weight_hidden = torch.zeros_like(self.weight_hidden)
        self.alpha_hidden = torch.zeros_like(self.alpha_hidden)

    def steps_of(self, epoch: int) -> int:
        """Weight steps of an epoch, from 1."""
        return len(self._windows_of(epoch))

    def window(self, epoch: int, step: int) -> Window:
        """The rows of a step's weight batch. Steps after the last begin again with the first."""
        found = self._windows_of(epoch)
        return found[(step - 1) % len(found)]

    def _windows_of(self, epoch: int) -> list[Window]:
        known, found = self._windows
        if known != epoch:
            found = windows(
                len(self._train), self._bptt, seed=self._seed, purpose="search", epoch=epoch
            )
            self._windows = epoch, found
        return found

    def count(self, epoch: int, step: int) -> int:
        """Tokens of the weight batch of a step."""
        return self.window(epoch, step).length * self._train.shape[1]

    def weight_batch(self, epoch: int, step: int) -> Batch:
        """The tokens (L, B) and the hidden state (B, n) before them, and the next tokens (L, B)."""
        here = self.window(epoch, step)
        tokens, targets = window(self._train, here.start, here.length)
        return (tokens, self.weight_hidden), targets

    def alpha_batch(self, epoch: int, step: int) -> Batch:
        """The same of the validation part. Its windows are whole, but for the last of the part."""
        start = self.window(epoch, step).start % (len(self._valid) - 1)
        tokens, targets = window(self._valid, start, self._bptt)
        return (tokens, self.alpha_hidden), targets

    def validate(self, predict: Callable[[Inputs], Any], most: int = 0) -> Figures:
        """The mean loss of the validation part in nats per predicted token, and no accuracies.

        Args:
            predict: from tokens (L, B) and a hidden state (B, n) to log-probabilities (L, B, V) and
                the next state, in evaluation mode.
            most: read no more than about so many tokens; 0 reads all.
        """
        columns = self._whole_valid
        if most:
            columns = columns[: max(2, most // columns.shape[1] + 1)]
        hidden = self.weight_hidden.new_zeros(columns.shape[1], self.weight_hidden.shape[1])
        loss = mean_loss(columns, self._bptt, lambda *inputs: predict(inputs), hidden)
        return loss, None, None

    def hidden_norm(self) -> Tensor:
        """The mean L2 norm of the hidden states before the next weight batch, a scalar."""
        norms: Tensor = self.weight_hidden.norm(dim=1)
        return norms.mean()

    def state(self) -> dict[str, Any]:
        """Both hidden states."""
        return {"hidden": {"weights": self.weight_hidden, "alpha": self.alpha_hidden}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        hidden, device = state["hidden"], self.weight_hidden.device
        self.weight_hidden = hidden["weights"].to(device)
        self.alpha_hidden = hidden["alpha"].to(device)


def _refuse_equal(columns: Tensor, where: str) -> None:
    """Batch norm divides by the deviation among columns: where that is zero, gradients explode."""
    if bool((columns == columns[:, :1]).all()):
        raise DataError(
            f"all {columns.shape[1]} columns are the same text, and batch norm compares them",
            where=where,
            remedy="the text repeats itself: use another --batch-size, or another text",
        )
