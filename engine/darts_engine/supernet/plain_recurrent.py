"""The recurrent supernet as the paper defines it; `recurrent.py` computes the same numbers faster.

Liu, Simonyan and Yang, DARTS: Differentiable Architecture Search, 2019, arXiv 1806.09055, sections
2.1 and 2.2 and appendix A.1, with the names and dropouts of its official code (`rnn/model.py`,
`rnn/model_search.py`). Edge by edge, operation by operation; a `state_dict` has the keys of that
code. Tests hold the numbers of `recurrent.py` against this file, and `darts-tui bench --recurrent`
its times.

Shapes: T time steps, B columns of text, V words, n the width, E edges, O candidate operations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.layers.language_model import NO_DROPOUT, SPREAD, Dropouts


class PlainRecurrent(nn.Module):
    """A language model with the relaxed cell.

    Args:
        names: the candidate operations, in alpha's column order.
        vocabulary: V.
        width: n, of embedding, states and output.
        nodes: of the cell.
        dropouts: probabilities of the five dropouts.

    Attributes:
        draws: generator of the masks; None is torch's own.
    """

    def __init__(
        self,
        names: Sequence[str],
        vocabulary: int,
        width: int,
        nodes: int = 8,
        dropouts: Dropouts = NO_DROPOUT,
    ) -> None:
        super().__init__()
        self.dropouts = dropouts
        self.draws: torch.Generator | None = None
        self.encoder = nn.Embedding(vocabulary, width)
        self.rnns = nn.ModuleList([PlainCell(names, width, nodes)])
        self.decoder = nn.Linear(width, vocabulary)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -SPREAD, SPREAD)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, tokens: Tensor, hidden: Tensor, weights_EO: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (T, B, V) of the next words, and the last output (B, n).

        Args:
            tokens: (T, B).
            hidden: what the text before it ended with, (B, n).
            weights_EO: softmax(alpha).
        """
        drops = self.dropouts
        words = self._mask(self.encoder.weight[:, :1], drops.word)
        embedded = functional.embedding(tokens, self.encoder.weight * words)
        embedded = embedded * self._mask(hidden, drops.embedding)
        # One mask of each kind for all time steps.
        input_mask, hidden_mask = self._mask(hidden, drops.input), self._mask(hidden, drops.hidden)
        outputs = []
        for x in embedded:
            hidden = self.rnns[0](x * input_mask, hidden, hidden_mask, weights_EO)
            outputs.append(hidden)
        dropped = torch.stack(outputs) * self._mask(hidden, drops.output)
        return functional.log_softmax(self.decoder(dropped), -1), hidden

    def _mask(self, like: Tensor, drop: float) -> Tensor:
        """A mask in the shape of `like`, scaled so that the mean stays; ones in evaluation mode."""
        if not self.training or not drop:
            return torch.ones_like(like)
        return torch.empty_like(like).bernoulli_(1 - drop, generator=self.draws) / (1 - drop)


class PlainCell(nn.Module):
    """One time step.

    Args:
        names: the candidate operations, in alpha's column order.
        width: n.
        nodes: each takes a mixed edge from every state before it.
    """

    def __init__(self, names: Sequence[str], width: int, nodes: int) -> None:
        super().__init__()
        self.names = names
        self._W0 = nn.Parameter(torch.empty(2 * width, 2 * width).uniform_(-SPREAD, SPREAD))
        # A node has one matrix for all states before it and all operations.
        self._Ws = nn.ParameterList(
            torch.empty(width, 2 * width).uniform_(-SPREAD, SPREAD) for _ in range(nodes)
        )
        # The same one after every state.
        self.bn = nn.BatchNorm1d(width, affine=False)

    def forward(self, x: Tensor, hidden: Tensor, mask: Tensor, weights_EO: Tensor) -> Tensor:
        """The output, (B, n).

        Args:
            x: the input, (B, n).
            hidden: the output of the time step before, (B, n).
            mask: of the states in front of matrices, (B, n).
            weights_EO: softmax(alpha), edges node by node.
        """
        gate, candidate = (torch.cat([x, hidden * mask], 1) @ self._W0).chunk(2, 1)
        states = [self.bn(highway(hidden, torch.sigmoid(gate), torch.tanh(candidate)))]
        edges = iter(weights_EO)
        for matrix in self._Ws:
            # Eq. 1: a node is the sum of its edges, one from every earlier state.
            first, *others = [
                self._edge(state, (state * mask) @ matrix, next(edges)) for state in states
            ]
            states.append(self.bn(sum(others, first)))
        return torch.stack(states[1:]).mean(0)

    def _edge(self, state: Tensor, product: Tensor, weights_O: Tensor) -> Tensor:
        """Eq. 2: the weighted sum of all candidate operations, (B, n). `none` adds nothing."""
        gate, candidate = product.chunk(2, 1)
        gate = torch.sigmoid(gate)
        first, *others = [
            weight * highway(state, gate, operation(name, candidate))
            for weight, name in zip(weights_O, self.names, strict=True)
            if name != "none"
        ]
        total: Tensor = sum(others, first)
        return total


def highway(state: Tensor, gate: Tensor, candidate: Tensor) -> Tensor:
    """The state, moved towards the candidate as far as the gate is open; each (B, n)."""
    return state + gate * (candidate - state)


def operation(name: str, x: Tensor) -> Tensor:
    """A candidate of section 3.1.2.

    Raises:
        ValueError: the name is unknown.
    """
    match name:
        case "tanh":
            return torch.tanh(x)
        case "relu":
            return torch.relu(x)
        case "sigmoid":
            return torch.sigmoid(x)
        case "identity":
            return x
    raise ValueError(f"there is no operation {name!r}")
