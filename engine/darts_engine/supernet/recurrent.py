"""The relaxed recurrent cell in a language model; `plain_recurrent.py` is its definition.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.1 and appendix A.1, and the official code
(`rnn/model_search.py`). At each time step, with the input x, the output h before it, and the mask m
of the hidden dropout:

    [c, g] = [x, h m] W_0            s_0 = norm(h + sigmoid(c) (tanh(g) - h))
    [c, g] = (s_j m) W_i             for each edge from a state j to node i
    s_i    = norm(sum over j < i and operations f of a_f (s_j + sigmoid(c) (f(g) - s_j)))
    output = mean of s_1 ... s_N, which is also the h of the next time step

One batch norm without parameters serves s_0 and every node at every time step. All edges of a node
share its matrix, so they are one product; `recurrent_edges.py` says what comes after it.

Shapes: T time steps, B columns of text, n the width, V words, N nodes, E = N (N + 1) / 2 edges, O
operations.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from darts_engine.compute import device as devices
from darts_engine.layers import official_recurrent
from darts_engine.layers.language_model import (
    NO_DROPOUT,
    Dropouts,
    LanguageModel,
    Reading,
    first_weights,
    node_matrices,
)
from darts_engine.layers.norm import statistics_kept
from darts_engine.layers.recurrent_operations import OPERATIONS
from darts_engine.optim.text_loss import negative_log_likelihood
from darts_engine.run.architecture.derivation_one_cell import edges_of
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS
from darts_engine.run.architecture.genotype import NONE, RECURRENT
from darts_engine.run.errors import CheckpointError
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.recurrent_edges import received
from darts_engine.supernet.relaxed import Batch, Inputs, Outcome, RelaxedNetwork


class Bundle(NamedTuple):
    """Edges into a node that compute the same operations.

    Attributes:
        names: the K operations.
        sources: the R states that the edges come from.
        weights: of the operations, (R, K).
    """

    names: Sequence[str]
    sources: Sequence[int]
    weights: Tensor


class Node(NamedTuple):
    """What a node computes at every time step.

    Attributes:
        matrix: W_i, (n, 2n).
        bundles: all edges that compute something.
        number: what stands for the operations that are not computed, (), or None.
    """

    matrix: Tensor
    bundles: Sequence[Bundle]
    number: Tensor | None


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
        predicts_by_batch: whether `predict` normalises by statistics of its batch in evaluation
            mode. The paper does (appendix A.1). The states that share the norm differ up to 40
            times in variance after one epoch, so that running statistics, a blend of all of them,
            fit none: the official code, which evaluates with them, reports a higher loss.

    Raises:
        KeyError: a candidate is unknown.
    """

    predicts_by_batch = False

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
        for name in set(names) - {NONE}:
            OPERATIONS[name]
        self.has_auxiliary_skip = auxiliary_skip
        self.first = first_weights(seed, "first matrix", 2 * width, 2 * width)
        self.nodes = node_matrices(seed, nodes, width)
        self.norm = nn.BatchNorm1d(width, affine=False)

    # Of text, not of images.
    def forward(  # type: ignore[override]
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
        active = None if mixing.active is None else mixing.active[RECURRENT]
        run_cell = partial(self._run_cell, weights_EO, active)
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
        """As `forward`, of tokens (T, B) and a hidden state (B, n) as one pair.

        In evaluation mode batch norm takes running statistics, or with `predicts_by_batch` those of
        the batch.
        """
        if self.training or not self.predicts_by_batch:
            return cast("tuple[Tensor, Tensor]", self(*inputs, mixing))
        with statistics_kept(self):
            self.norm.train()
            try:
                return cast("tuple[Tensor, Tensor]", self(*inputs, mixing))
            finally:
                self.norm.eval()

    def held_ahead(self) -> Sequence[nn.Parameter]:
        """The embedding.

        The official code builds the network after the virtual step from a state dictionary. The
        embedding stands in it twice, moved as the encoder's matrix and unmoved as the decoder's,
        which are one: the second is copied last.
        """
        return (self.embedding,)

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
        self,
        weights_EO: Tensor,
        active: Sequence[Sequence[int]] | None,
        inputs: Tensor,
        hidden: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """The cell's outputs (T, B, n); `language_model.RunCell` says of what."""
        nodes = self._nodes(weights_EO, active)
        # The inputs of all time steps are there at once, so their part of W_0 is one product.
        of_inputs = (inputs @ self.first[: self.width]).unbind()
        of_hidden = self.first[self.width :]
        outputs = []
        for product in of_inputs:
            gate, candidate = (product + masked(hidden, mask) @ of_hidden).chunk(2, -1)
            state = self.norm(hidden + gate.sigmoid() * (candidate.tanh() - hidden))
            hidden = torch.stack(self._step(nodes, state, mask)).mean(0)
            outputs.append(hidden)
        return torch.stack(outputs)

    def _step(self, nodes: Sequence[Node], state: Tensor, mask: Tensor | None) -> list[Tensor]:
        """s_1 ... s_N from s_0, each (B, n)."""
        states = [state]
        for matrix, bundles, number in nodes:
            brought = [] if number is None else [number.expand_as(state)]
            for names, sources, weights_RK in bundles:
                leaving = torch.stack([states[source] for source in sources])
                brought.append(received(names, leaving, mask, matrix, weights_RK))
            if self.has_auxiliary_skip:
                brought.append(self.stochastic.auxiliary * torch.stack(states).sum(0))
            total = sum(brought[1:], brought[0]) if brought else torch.zeros_like(state)
            states.append(self.norm(total))
        return states[1:]

    def _nodes(self, weights_EO: Tensor, active: Sequence[Sequence[int]] | None) -> list[Node]:
        """What each node computes; without `active` every operation of every edge but `none`."""
        drawn = iter([range(len(self.names))] * len(weights_EO) if active is None else active)
        numbers = self._numbers(weights_EO, active)
        nodes = []
        rows = weights_EO.split(self._edges_of_nodes())
        for node, (matrix, weights_RO) in enumerate(zip(self._matrices(), rows, strict=True)):
            # The edges that compute the same operations are one product.
            sources: dict[tuple[int, ...], list[int]] = {}
            for source in range(node + 1):
                kept = tuple(o for o in next(drawn) if self.names[o] != NONE)
                sources.setdefault(kept, []).append(source)
            bundles = [
                Bundle([self.names[o] for o in kept], group, weights_RO[group][:, list(kept)])
                for kept, group in sources.items()
                if kept
            ]
            nodes.append(Node(matrix, bundles, None if numbers is None else numbers[node]))
        return nodes

    def _numbers(
        self, weights_EO: Tensor, active: Sequence[Sequence[int]] | None
    ) -> Sequence[Tensor] | None:
        """For each node, the sum of the weights that are not computed, kept for its gradient."""
        if active is None or not weights_EO.requires_grad:
            return None
        left_out = torch.ones(weights_EO.shape, dtype=torch.bool)
        for row, columns in zip(left_out, active, strict=True):
            row[list(columns)] = False
        of_edges = (weights_EO * devices.send(left_out, weights_EO.device)).sum(1)
        return [part.sum() for part in of_edges.split(self._edges_of_nodes())]

    def _edges_of_nodes(self) -> list[int]:
        """How many edges enter each node: one from every state before it."""
        return list(range(1, self.nodes.shape[1] + 1))

    def _matrices(self) -> list[Tensor]:
        """The matrix of each node, (n, 2n)."""
        matrices = [matrix.contiguous() for matrix in self.nodes.unbind(1)]
        kind = self.nodes.device.type
        if not torch.is_autocast_enabled(kind):
            return matrices
        # Autocast would cast them again at every time step.
        return [matrix.to(torch.get_autocast_dtype(kind)) for matrix in matrices]


def masked(state: Tensor, mask: Tensor | None) -> Tensor:
    """A state as a matrix takes it, (B, n)."""
    return state if mask is None else state * mask
