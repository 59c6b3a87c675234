"""Everything random inside a supernet's edges: drop path, skip dropout, noise.

The search sets the probabilities at each epoch and the generator at each step, so a resumed run
draws the same numbers. All edges of a supernet share one `StochasticOps`. Masks and noise are drawn
for the whole batch and each rank takes its part, so they do not depend on the number of ranks.
Shapes: B batch, C channels, H W space.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from darts_engine.compute.parallel import WHOLE, Shard


class StochasticOps:
    """Probabilities, a generator, and the random operations that use them.

    Attributes:
        drop_path: probability that an image's whole edge is dropped (R-DARTS(DP), Zela et al.,
            2020, arXiv 1909.09656), skips included.
        skip_dropout: probability that an entry of a stride-1 skip is dropped (P-DARTS, Chen et al.,
            2019, arXiv 1904.12760).
        auxiliary: factor of the auxiliary skips (DARTS-).
        draws: generator on the supernet's device.
        shards: this process's part of each batch that may come in this step; the likelier first.
    """

    def __init__(self) -> None:
        self.drop_path = 0.0
        self.skip_dropout = 0.0
        self.auxiliary = 1.0
        self.draws: torch.Generator | None = None
        self.shards: Sequence[Shard] = ()

    def drop_paths(self, x: Tensor) -> Tensor:
        """(B, C, H, W): whole images dropped, the others scaled by 1 / (1 - p)."""
        keep = 1 - self.drop_path
        one_each = x.new_empty((len(x), 1, 1, 1))
        return x * self._shard_of(x).mask(one_each, keep, self.draws) / keep

    def drop_skips(self, x: Tensor) -> Tensor:
        """(B, C, H, W): single entries dropped, the others scaled by 1 / (1 - p)."""
        keep = 1 - self.skip_dropout
        return x * self._shard_of(x).mask(x, keep, self.draws) / keep

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal noise in the shape of `like`: the operation `noise` of the space S4."""
        return self._shard_of(like).noise(like, self.draws)

    def mask(self, like: Tensor, keep: float) -> Tensor:
        """Ones with probability `keep`, zeros else, in the shape of `like`, (B, n)."""
        return self._shard_of(like).mask(like, keep, self.draws)

    def mask_of_words(self, like: Tensor, keep: float) -> Tensor:
        """The same in the shape of `like`, one for each word: all ranks have the same."""
        return WHOLE.mask(like, keep, self.draws)

    def _shard_of(self, x: Tensor) -> Shard:
        """The shard with as many images as x; where there is none, x is a whole batch."""
        for shard in self.shards:
            if shard.whole is not None and len(range(shard.whole)[shard.mine]) == len(x):
                return shard
        return WHOLE
