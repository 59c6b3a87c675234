"""A mixed edge: the weighted sum of its candidate operations.

Liu et al., DARTS, 2019, arXiv 1806.09055, equation 2; `MixedOperation` of `plain.py` is its
definition. The operations without weights arrive computed, from `source.py`. `none` adds nothing
and is not computed; its alpha still takes part in the softmax. Shapes: B batch, C channels, H W
space, O operations; H' and W' are H and W divided by the stride, rounded up.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from darts_engine.layers import operations
from darts_engine.layers.norm import BatchNorm
from darts_engine.layers.operations import (
    AVG_POOL,
    MAX_POOL,
    NOISE,
    NONE,
    SKIP,
    FactorizedReduce,
    WeightedOperation,
)
from darts_engine.layers.slices import every_other
from darts_engine.supernet.source import SourceFeatures
from darts_engine.supernet.stochastic import StochasticOps
from darts_engine.supernet.weighted_sum import Summand, weighted_sum

# Also `skip_connect`, where the stride is 1.
WEIGHTLESS = {NONE, NOISE, MAX_POOL, AVG_POOL}


class MixedEdge(nn.Module):
    """One edge of a cell.

    Args:
        names: its candidates, in alpha's column order.
        channels: C of what its operations take.
        stride: of its operations, 1 or 2.
        stochastic: probabilities of drop path and skip dropout, and their draws.
        auxiliary_skip: whether a skip is added beside the candidates (DARTS-).

    Attributes:
        pool_norms: the edge's own batch norms, of the poolings whose norm the source's edges do not
            share; empty unless loaded weights need them.

    Raises:
        KeyError: a candidate is unknown.
    """

    def __init__(
        self,
        names: Sequence[str],
        channels: int,
        stride: int,
        stochastic: StochasticOps,
        *,
        auxiliary_skip: bool,
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.stride = stride
        self.stochastic = stochastic
        weightless = WEIGHTLESS | ({SKIP} if stride == 1 else set())
        self.weighted = nn.ModuleDict(
            {
                name: operations.weighted_operation(name, channels, stride, affine=False)
                for name in names
                if name not in weightless
            }
        )
        self.pool_norms = nn.ModuleDict()
        self.has_auxiliary_skip = auxiliary_skip
        self.auxiliary = (
            FactorizedReduce(channels, channels, affine=False)
            if auxiliary_skip and stride == 2
            else None
        )

    def forward(
        self, source: SourceFeatures, weights_O: Tensor, active: Sequence[int] | None = None
    ) -> Tensor:
        """The edge's output, (B, C, H', W').

        Args:
            source: the state that the edge leaves.
            weights_O: the weights of eq. 2.
            active: the columns that are computed; None computes all. The weights of the others,
                which are zero, are added as numbers so that alpha gets their gradient.
        """
        summands = [
            self._summand(column, name, source)
            for column, name in enumerate(self.names)
            if name != NONE and (active is None or column in active)
        ]
        if summands:
            out = weighted_sum(weights_O, summands)
        else:
            out = torch.zeros_like(every_other(source.rectified, self.stride))
        if active is not None and weights_O.requires_grad:
            others = [w for o, w in enumerate(weights_O.unbind()) if o not in active]
            out = out + sum(others[1:], others[0]) if others else out
        return self.finish(out, source)

    def finish(self, out: Tensor, source: SourceFeatures) -> Tensor:
        """What follows the weighted sum, (B, C, H', W') to the same: auxiliary skip, drop path."""
        if self.has_auxiliary_skip:
            out = out + self.stochastic.auxiliary * self._auxiliary_skip(source)
        if self.training and self.stochastic.drop_path:
            out = self.stochastic.drop_paths(out)
        return out

    def _summand(self, column: int, name: str, source: SourceFeatures) -> Summand:
        if name == NOISE:
            like = every_other(source.rectified, self.stride)
            return Summand(column, self.stochastic.noise(like))
        if name not in source.shared:
            operation = self.weighted[name]
            assert isinstance(operation, WeightedOperation)
            return Summand(column, operation.before_norm(source.rectified), operation.last_norm)
        values = source.shared[name]
        if name in self.pool_norms:
            norm = self.pool_norms[name]
            assert isinstance(norm, BatchNorm)
            return Summand(column, values, norm)
        if name == SKIP and self.training and self.stochastic.skip_dropout:
            values = self.stochastic.drop_skips(values)
        return Summand(column, values)

    def operations(self) -> dict[str, WeightedOperation]:
        """The candidates that have weights, by name."""
        return {
            name: operation
            for name, operation in self.weighted.items()
            if isinstance(operation, WeightedOperation)
        }

    def _auxiliary_skip(self, source: SourceFeatures) -> Tensor:
        if self.auxiliary is None:
            return source.shared[SKIP]
        out: Tensor = self.auxiliary(source.rectified)
        return out
