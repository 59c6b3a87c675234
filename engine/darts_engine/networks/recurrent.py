"""The recurrent network of a genotype: what is trained from scratch after a search on text.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.1 and appendix A.1, and the official code
(`rnn/model.py`). At each time step, with the input x, the output h before it, and the mask m of the
hidden dropout:

    [c, g] = [x, h m] W_0      s_0 = h + sigmoid(c) (tanh(g) - h)
    [c, g] = (s_p m) W_i       s_i = s_p + sigmoid(c) (f(g) - s_p), with node i's parent p and f
    output = mean of the states that the genotype lists, which is also the next h

Shapes: T time steps, B columns of text, n the width, V words, N nodes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from darts_engine.layers import official_recurrent
from darts_engine.layers.language_model import (
    NO_DROPOUT,
    Dropouts,
    LanguageModel,
    Masks,
    Reading,
    first_weights,
    node_matrices,
)
from darts_engine.layers.recurrent_operations import OPERATIONS
from darts_engine.run.architecture.genotype import RECURRENT, Genotype
from darts_engine.run.errors import GenotypeError


class RecurrentNetwork(LanguageModel):
    """A language model with the cell of a genotype.

    Args:
        genotype: of the form `recurrent`.
        vocabulary: V.
        width: n, of embedding, states and output.
        dropouts: probabilities of the five dropouts.
        seed: names the streams that weights are drawn from.

    Attributes:
        masks: where the dropouts draw from; a training sets `masks.draws` before a step.
        first: W_0, (2n, 2n); the rows of x come before those of h.
        nodes: W_1 ... W_N side by side, (n, N, 2n).

    Raises:
        GenotypeError: the genotype is of another form, or an operation is unknown.
    """

    def __init__(
        self,
        genotype: Genotype,
        vocabulary: int,
        width: int,
        *,
        dropouts: Dropouts = NO_DROPOUT,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if genotype.form != RECURRENT:
            raise GenotypeError(
                f"a cell of the form {genotype.form} reads no text",
                remedy="give a recurrent cell, as in RNN_DARTS_V2",
            )
        self.edges = genotype.edges(RECURRENT)
        for edge in self.edges:
            if edge.operation not in OPERATIONS:
                raise GenotypeError(
                    f"there is no operation {edge.operation!r} in a recurrent cell",
                    remedy=f"known: {', '.join(OPERATIONS)}",
                )
        self.averaged = genotype.normal_concat
        self.masks = Masks()
        self.build(vocabulary, width, dropouts, seed)
        self.first = first_weights(seed, "first matrix", 2 * width, 2 * width)
        self.nodes = node_matrices(seed, len(self.edges), width)

    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (T, B, V) of the next words, and the last output (B, n).

        Args:
            tokens: (T, B), from 0 to V - 1.
            hidden: what the text before it ended with, (B, n).
        """
        reading = self.read(tokens, hidden)
        return reading.log_probabilities, reading.hidden

    def read(self, tokens: Tensor, hidden: Tensor) -> Reading:
        """As `forward`, with the cell's outputs."""
        return self.read_with(self._run_cell, tokens, hidden, self.masks)

    def load_reference_state(self, state_dict: Mapping[str, Tensor]) -> None:
        """Load weights in the layout of the official code.

        Raises:
            CheckpointError: something does not fit; the first is named, and nothing has changed.
        """
        official_recurrent.load(self, state_dict)

    def reference_state(self) -> dict[str, Tensor]:
        """A copy of the weights in the layout that `load_reference_state` reads."""
        return official_recurrent.export(self)

    def _run_cell(self, inputs: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """The cell's outputs (T, B, n); `language_model.RunCell` says of what."""
        # The inputs of all time steps are there at once, so their part of W_0 is one product.
        of_inputs = (inputs @ self.first[: self.width]).unbind()
        of_hidden = self.first[self.width :]
        matrices = self.nodes.unbind(1)
        outputs = []
        for product in of_inputs:
            states = [highway(hidden, product + masked(hidden, mask) @ of_hidden, "tanh")]
            for (name, _, parent), matrix in zip(self.edges, matrices, strict=True):
                state = states[parent]
                states.append(highway(state, masked(state, mask) @ matrix, name))
            hidden = torch.stack([states[i] for i in self.averaged]).mean(0)
            outputs.append(hidden)
        return torch.stack(outputs)


def masked(state: Tensor, mask: Tensor | None) -> Tensor:
    """A state as a matrix takes it, (B, n)."""
    return state if mask is None else state * mask


def highway(state: Tensor, product: Tensor, name: str) -> Tensor:
    """The state moved towards an operation's output by a gate, (B, n); the product is (B, 2n)."""
    gate, candidate = product.chunk(2, -1)
    moved: Tensor = state + gate.sigmoid() * (OPERATIONS[name](candidate) - state)
    return moved
