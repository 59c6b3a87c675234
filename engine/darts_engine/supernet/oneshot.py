"""The supernet of NAS-Bench-1Shot1: one cell type, whose nodes choose operations and parents.

Zela, Siems and Hutter, NAS-Bench-1Shot1, 2020, arXiv 2001.10422, section 3, and its code. Shapes:
B batch, C channels, H W space, N nodes, O operations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.compute.activation_checkpoint import recomputed
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.operations import ConvNorm
from darts_engine.networks.nasbench101 import (
    OPERATIONS,
    ConvNormRelu,
    operation,
    parents_name,
    sum_of,
)
from darts_engine.run.architecture.spaces import ONE_SHOT_OPERATIONS
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork


class MixedNode(nn.Module):
    """The weighted sum of a node's candidate operations.

    Raises:
        GenotypeError: a candidate is unknown.
    """

    def __init__(self, names: Sequence[str], channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(operation(name, channels) for name in names)

    def forward(self, x: Tensor, weights_O: Tensor, active: Sequence[int] | None = None) -> Tensor:
        """(B, C, H, W) to the same; only the `active` columns are computed, or all.

        The weights of the others, which are zero, are added as numbers for their gradient's sake.
        """
        out = torch.zeros_like(x)
        for column, (weight, compute) in enumerate(
            zip(weights_O.unbind(), self.operations, strict=True)
        ):
            is_computed = active is None or column in active
            out = out + (weight * compute(x) if is_computed else weight)
        return out


class SearchCell101(nn.Module):
    """A cell of mixed nodes: each takes the weighted sum of the states before it.

    The cell's input reaches every node, and the output, through a projection of its own. The output
    concatenates the weighted nodes and adds the weighted projection.

    Args:
        names: the candidate operations of every node.
        nodes: N.
        channels_in: channels of the cell's input.
        channels: C of each node; the output has N * C.
    """

    def __init__(self, names: Sequence[str], nodes: int, channels_in: int, channels: int) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(MixedNode(names, channels) for _ in range(nodes))
        self.projections = nn.ModuleList(
            ConvNormRelu(channels_in, channels, 1) for _ in range(nodes)
        )
        self.output = ConvNormRelu(channels_in, nodes * channels, 1)

    def forward(
        self,
        x: Tensor,
        operations_NO: Tensor,
        parents: dict[int, Tensor],
        active: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """(B, Cin, H, W) to (B, N * C, H, W).

        Args:
            x: the cell's input.
            operations_NO: the weights of each node's operations.
            parents: (1, states before it) weights by node, of the nodes that choose their parents.
            active: of each node, the columns that are computed; None computes all.
        """
        nodes: list[Tensor] = []
        for index, mixed in enumerate(self.nodes):
            inputs = times_weights([self.projections[index](x), *nodes], parents.get(index + 1))
            columns = None if active is None else active[index]
            nodes.append(mixed(sum_of(inputs), operations_NO[index], columns))
        projected, *weighted = times_weights(
            [self.output(x), *nodes], parents.get(len(self.nodes) + 1)
        )
        return projected + torch.cat(weighted, 1)


def times_weights(states: list[Tensor], weights: Tensor | None) -> list[Tensor]:
    """Each state times its weight, of (1, states); unchanged where the node chooses no parents."""
    if weights is None:
        return states
    return [weight * state for weight, state in zip(weights[0].unbind(), states, strict=True)]


class OneShotSupernet(RelaxedNetwork):
    """The relaxed network of a space of NAS-Bench-1Shot1; its alphas are shared by all cells.

    Args:
        choices: the nodes that choose their parents, counted from 1; the output is the node after
            the last.
        nodes: of a cell, input and output not counted.
        channels: C of the first cell.
        layers: cells; before those at layers // 3 and 2 * layers // 3 the resolution is halved.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the streams that weights and alphas are drawn from.
        alpha_scale: standard deviation of the first alphas.
        bn_momentum: weight of a batch in the running statistics.
        last_bn_momentum: the same of the norm behind the last cell, which has torch's 0.1 in the
            official code.
        names: the candidate operations.

    Raises:
        GenotypeError: a candidate is unknown.
    """

    def __init__(
        self,
        choices: Sequence[int],
        *,
        nodes: int = 4,
        channels: int = 16,
        layers: int = 9,
        in_channels: int = 3,
        classes: int = 10,
        seed: int = 0,
        alpha_scale: float = 1e-3,
        bn_momentum: float = 0.1,
        last_bn_momentum: float = 0.1,
        names: Sequence[str] = ONE_SHOT_OPERATIONS,
    ) -> None:
        shapes = {OPERATIONS: (nodes, len(names))} | {parents_name(n): (1, n) for n in choices}
        super().__init__(shapes, alpha_scale, seed)
        self.choices = tuple(choices)
        self.reductions = {layers // 3, 2 * layers // 3}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.seed_of(seed, "weights"))
            self.stem = ConvNormRelu(in_channels, channels, 3)
            self.cells = nn.ModuleList()
            before = channels
            for layer in range(layers):
                if layer in self.reductions:
                    channels *= 2
                self.cells.append(SearchCell101(names, nodes, before, channels))
                before = nodes * channels
            self.last = ConvNorm(before, channels, affine=False)
            self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, BatchNorm):
                module.momentum = bn_momentum
        self.last.norm.momentum = last_bn_momentum

    def forward(self, x: Tensor, mixing: Mixing | Matrices | None = None) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes)."""
        mixing = Mixing.of(self.relax() if mixing is None else mixing)
        weights = mixing.weights[OPERATIONS]
        active = None if mixing.active is None else mixing.active[OPERATIONS]
        parents = {node: mixing.weights[parents_name(node)] for node in self.choices}
        x = self.stem(x)
        for layer, cell in enumerate(self.cells):
            if layer in self.reductions:
                # Padded by one pixel as in the official code, so that 32 becomes 17.
                x = functional.max_pool2d(x, 2, 2, 1)
            if self.recomputes and torch.is_grad_enabled():
                x = recomputed(cell, x, weights, parents, active)
            else:
                x = cell(x, weights, parents, active)
        x = self.last(functional.relu(x))
        logits: Tensor = self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
