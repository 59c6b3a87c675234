"""The relaxed recurrent cell in a language model; `plain_recurrent.py` is its definition.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.1 and appendix A.1, and the official code
(`rnn/model_search.py`). At each time step, with the input x, the output h before it, and the mask m
of the hidden dropout:

    [c, g] = [x, h m] W_0            s_0 = norm(h + sigmoid(c) (tanh(g) - h))
    [c, g] = (s_j m) W_i             for each edge from a state j to node i
    s_i    = norm(sum over j < i and operations f of a_f (s_j + sigmoid(c) (f(g) - s_j)))
    output = mean of s_1 ... s_N, which is also the h of the next time step

One batch norm without parameters serves s_0 and every node at every time step. Two identities make
this faster than the definition. The operations of an edge share the state and the gate:

    sum of a_f (s + c (f(g) - s)) = S s + c (sum of a_f f(g) - S s),  S = sum of a_f

And all nodes after a state multiply it by their matrices, so one wide product serves them all.

Shapes: T time steps, B columns of text, n the width, V words, N nodes, E = N (N + 1) / 2 edges, O
operations, R the nodes after a state.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from darts_engine.layers import official_recurrent
from darts_engine.layers.language_model import (
    NO_DROPOUT,
    Dropouts,
    LanguageModel,
    Reading,
    first_weights,
    node_matrices,
)
from darts_engine.optim.text_loss import negative_log_likelihood
from darts_engine.run.architecture.derivation_one_cell import edges_of
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS
from darts_engine.run.architecture.genotype import NONE, RECURRENT
from darts_engine.run.errors import CheckpointError
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.recurrent_edges import MixedEdges, mixed_edges
from darts_engine.supernet.relaxed import Batch, Inputs, Outcome, RelaxedNetwork


class SharedNorm(nn.BatchNorm1d):
    """The one batch norm of the cell: no scale, no shift, one pair of running statistics."""

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)


class RecurrentSupernet(RelaxedNetwork, LanguageModel):
    """The relaxed network of the recurrent space; its one alpha matrix is `recurrent`.

    Args:
        vocabulary: V.
        width: n, of embedding, states and output.
        nodes: N.
        dropouts: probabilities of the five dropouts.
        seed: names the streams that weights and alphas are drawn from.
        alpha_scale: standard deviation of the first alphas.
        auxiliary_skip: every edge has a skip beside its candidates (DARTS-): the state itself.
        names: the candidate operations, in alpha's column order.

    Attributes:
        first: W_0, (2n, 2n); the rows of x come before those of h.
        nodes: W_1 ... W_N side by side, (n, N, 2n).
        norm: the one batch norm.

    Raises:
        KeyError: a candidate is unknown.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        *,
        nodes: int = 8,
        dropouts: Dropouts = NO_DROPOUT,
        seed: int = 0,
        alpha_scale: float = 1e-3,
        auxiliary_skip: bool = False,
        names: Sequence[str] = RECURRENT_OPERATIONS,
    ) -> None:
        shape = (len(edges_of(nodes)), len(names))
        super().__init__({RECURRENT: shape}, alpha_scale, seed)
        self.build(vocabulary, width, dropouts, seed)
        self.names = tuple(names)
        self._computed = tuple(name for name in names if name != NONE)
        self.has_auxiliary_skip = auxiliary_skip
        self.first = first_weights(seed, "first matrix", 2 * width, 2 * width)
        self.nodes = node_matrices(seed, nodes, width)
        self.norm = SharedNorm(width)

    def forward(  # type: ignore[override]  this one reads text
        self, tokens: Tensor, hidden: Tensor, mixing: Mixing | Matrices | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities (T, B, V) of the next words, and the last output (B, n).

        Args:
            tokens: (T, B), from 0 to V - 1.
            hidden: what the text before it ended with, (B, n).
            mixing: the weights of the alpha matrix; by default the mixing of `relax`.
        """
        reading = self.read(tokens, hidden, mixing)
        return reading.log_probabilities, reading.hidden

    def read(
        self, tokens: Tensor, hidden: Tensor, mixing: Mixing | Matrices | None = None
    ) -> Reading:
        """As `forward`, with the cell's outputs."""
        mixing = Mixing.of(self.relax() if mixing is None else mixing)
        weights_EO = mixing.weights[RECURRENT]
        if mixing.shares is not None:
            weights_EO = weights_EO * mixing.shares[RECURRENT][:, None]
        run_cell = partial(self._run_cell, weights_EO)
        return self.read_with(run_cell, tokens, hidden, self.stochastic)

    def loss(self, batch: Batch, mixing: Mixing | Matrices | None = None) -> Outcome:
        """The mean loss of a text in nats per token, and the last output (B, n).

        Args:
            batch: tokens (T, B) and the state (B, n) before them; the tokens that follow, (T, B).
            mixing: as in `forward`.
        """
        (tokens, hidden), targets = batch
        reading = self.read(tokens, hidden, mixing)
        loss = negative_log_likelihood(reading.log_probabilities, targets)
        return Outcome(loss, reading.hidden)

    def predict(
        self, inputs: Inputs, mixing: Mixing | Matrices | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, of tokens (T, B) and a hidden state (B, n) as one pair."""
        found: tuple[Tensor, Tensor] = self(*inputs, mixing)
        return found

    def load_reference_state(
        self,
        state_dict: Mapping[str, Tensor],
        alphas: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | None = None,
    ) -> None:
        """Load weights and running statistics in the official layout, and alphas if given.

        Args:
            state_dict: tensors by official name.
            alphas: the raw (E, O) matrix, alone, in a list, or under the name `recurrent`.

        Raises:
            CheckpointError: something does not fit; the first is named, and nothing has changed.
        """
        matrix: object = alphas
        if isinstance(alphas, Mapping):
            matrix = alphas.get(RECURRENT)
        elif isinstance(alphas, Sequence) and len(alphas) == 1:
            matrix = alphas[0]
        own = self.alphas.matrices()[RECURRENT]
        if alphas is not None and (not isinstance(matrix, Tensor) or matrix.shape != own.shape):
            raise CheckpointError(
                f"the alphas must be one matrix of {tuple(own.shape)}",
                where=RECURRENT,
                remedy="rows are edges, node by node; columns are " + ", ".join(self.names),
            )
        official_recurrent.load(self, state_dict)
        if isinstance(matrix, Tensor):
            with torch.no_grad():
                own.copy_(matrix)

    def _run_cell(
        self, weights_EO: Tensor, inputs: Tensor, hidden: Tensor, hidden_mask: Tensor | None
    ) -> Tensor:
        """The cell's outputs (T, B, n); `language_model.RunCell` says of what."""
        width = self.width
        # The inputs of all time steps are there at once, so their part of W_0 is one product.
        first = (inputs @ self.first[:width]).unbind()
        of_hidden = self.first[width:]
        edges = self._edges(weights_EO)
        outputs = []
        for gates in first:
            masked = hidden if hidden_mask is None else hidden * hidden_mask
            gate, candidate = (gates + masked @ of_hidden).chunk(2, -1)
            state = self.norm(hidden + gate.sigmoid() * (candidate.tanh() - hidden))
            hidden = self._step(state, edges, hidden_mask)
            outputs.append(hidden)
        return torch.stack(outputs)

    def _step(
        self, state: Tensor, edges: Sequence[tuple[Tensor, Tensor]], mask: Tensor | None
    ) -> Tensor:
        """The output of a time step, (B, n), from s_0; `edges` is of `_edges`."""
        compute = mixed_edges if torch.is_autocast_enabled(state.device.type) else MixedEdges.apply
        sums: Tensor | None = None
        states = []
        for matrix, weights_RK in edges:
            masked = state if mask is None else state * mask
            sums = compute(self._computed, matrix, weights_RK, state, masked, sums)
            now, sums = sums.split((1, len(weights_RK) - 1), 1)
            state = self.norm(now.squeeze(1))
            states.append(state)
        return torch.stack(states).mean(0)

    def _edges(self, weights_EO: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of each state's edges, the matrices side by side (n, R * 2n) and weights (R, K)."""
        kept = [o for o, name in enumerate(self.names) if name != NONE]
        rows = edges_of(self.nodes.shape[1])
        found = []
        for source in range(self.nodes.shape[1]):
            leaving = [edge for edge, (s, _) in enumerate(rows) if s == source]
            found.append((self.nodes[:, source:].flatten(1), weights_EO[leaving][:, kept]))
        return found
