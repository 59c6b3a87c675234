"""A language model around one recurrent cell: embedding, cell, tied decoder, five dropouts.

Merity, Keskar and Socher, Regularizing and Optimizing LSTM Language Models, 2018, arXiv 1708.02182,
as the official recurrent DARTS code uses it (`rnn/model.py`). A search and the training of what it
found differ in the cell alone. A pass draws every mask once, so a sequence has one mask for all of
its time steps. Shapes: T time steps, B columns of text, V words, n the width of embedding, states
and output.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.compute.parallel import WHOLE

# First weights are uniform on (-SPREAD, SPREAD), biases zero.
SPREAD = 0.04


class Dropouts(NamedTuple):
    """Probabilities that a number is dropped in training; what is left is scaled up.

    Attributes:
        word: a whole word of the embedding, wherever it is read (the official `dropoute`).
        embedding: an entry of the embedded text (`dropouti`).
        input: an entry of the cell's input (`dropoutx`).
        hidden: an entry of a state before its matrix (`dropouth`).
        output: an entry of the cell's output before the decoder (`dropout`).
    """

    word: float = 0.0
    embedding: float = 0.0
    input: float = 0.0
    hidden: float = 0.0
    output: float = 0.0


NO_DROPOUT = Dropouts()


class Reading(NamedTuple):
    """What a model computes of a text.

    Attributes:
        log_probabilities: of the next word, (T, B, V), in float32 or better.
        hidden: the cell's last output, (B, n), from which the next text goes on.
        states: the cell's outputs, (T, B, n); slowness is measured on them.
        dropped: the same after the output dropout, (T, B, n).
    """

    log_probabilities: Tensor
    hidden: Tensor
    states: Tensor
    dropped: Tensor


class Draws(Protocol):
    """Where the masks of a pass come from."""

    def mask(self, like: Tensor, keep: float) -> Tensor:
        """Ones with probability `keep`, zeros else, in the shape of `like`, (B, n)."""

    def mask_of_words(self, like: Tensor, keep: float) -> Tensor:
        """The same in the shape of `like`, (V,), equal in all processes that share a batch."""


class Masks:
    """The masks of a model that is trained from scratch.

    Attributes:
        draws: the generator, set anew before every pass; None is torch's own. Passes with equal
            generators have equal masks.
        shard: this process's part of the columns.
    """

    def __init__(self) -> None:
        self.draws: torch.Generator | None = None
        self.shard = WHOLE

    def mask(self, like: Tensor, keep: float) -> Tensor:
        """Ones with probability `keep`, zeros else, in the shape of `like`, (B, n)."""
        return self.shard.mask(like, keep, self.draws)

    def mask_of_words(self, like: Tensor, keep: float) -> Tensor:
        """The same in the shape of `like`, (V,), equal in all processes that share a batch."""
        return WHOLE.mask(like, keep, self.draws)


# The cell's input (T, B, n), the output before it (B, n) and the mask of states (B, n) or None, to
# the cell's outputs (T, B, n).
RunCell = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class LanguageModel(nn.Module):
    """Reads a text and predicts each next word.

    Subclasses have the cell. They call `build` in their constructor and `read_with` to read.

    Attributes:
        width: n.
        dropouts: the five probabilities.
        embedding: a row for each word, (V, n). It is the decoder's matrix too (Press and Wolf,
            2017, arXiv 1608.05859).
        decoder_bias: (V,).
    """

    width: int
    dropouts: Dropouts
    embedding: nn.Parameter
    decoder_bias: nn.Parameter

    def build(self, vocabulary: int, width: int, dropouts: Dropouts, seed: int) -> None:
        """Make embedding and decoder.

        Args:
            vocabulary: V.
            width: n.
            dropouts: the five probabilities.
            seed: names the stream that the embedding is drawn from.
        """
        self.width, self.dropouts = width, dropouts
        self.embedding = first_weights(seed, "embedding", vocabulary, width)
        self.decoder_bias = nn.Parameter(torch.zeros(vocabulary))

    def first_hidden(self, batch: int) -> Tensor:
        """The output before the first text: zeros (B, n)."""
        return self.embedding.new_zeros(batch, self.width)

    def read_with(self, run_cell: RunCell, tokens: Tensor, hidden: Tensor, draws: Draws) -> Reading:
        """Read a text.

        Args:
            run_cell: the cell.
            tokens: (T, B), from 0 to V - 1.
            hidden: what the text before it ended with, (B, n).
            draws: makes the masks, in training mode only.
        """
        drops = self.dropouts
        inputs = functional.embedding(tokens, self.embedding)
        if self.training and drops.word:
            keep = 1 - drops.word
            of_words = draws.mask_of_words(self.embedding[:, 0], keep) / keep
            inputs = inputs * of_words[tokens][:, :, None]
        for drop in (drops.embedding, drops.input):
            mask = self._mask(hidden, drop, draws)
            inputs = inputs if mask is None else inputs * mask
        states = run_cell(inputs, hidden, self._mask(hidden, drops.hidden, draws))
        mask = self._mask(hidden, drops.output, draws)
        dropped = states if mask is None else states * mask
        logits = functional.linear(dropped, self.embedding, self.decoder_bias)
        # A sum over thousands of words needs float32 under autocast too.
        exact = torch.promote_types(logits.dtype, torch.float32)
        return Reading(functional.log_softmax(logits, -1, dtype=exact), states[-1], states, dropped)

    def _mask(self, like: Tensor, drop: float, draws: Draws) -> Tensor | None:
        """A mask (B, n) for all time steps, scaled so that the mean stays; None drops nothing."""
        if not self.training or not drop:
            return None
        return draws.mask(like, 1 - drop) / (1 - drop)


def first_weights(seed: int, purpose: str, *shape: int) -> nn.Parameter:
    """A new parameter, drawn from a named stream."""
    draws = streams.generator(seed, f"weights {purpose}")
    return nn.Parameter(torch.empty(shape).uniform_(-SPREAD, SPREAD, generator=draws))


def node_matrices(seed: int, nodes: int, width: int) -> nn.Parameter:
    """The matrices of N nodes side by side, (n, N, 2n), each drawn from its own stream."""
    drawn = [first_weights(seed, f"node {i}", width, 2 * width) for i in range(1, nodes + 1)]
    return nn.Parameter(torch.stack([matrix.detach() for matrix in drawn], 1))
