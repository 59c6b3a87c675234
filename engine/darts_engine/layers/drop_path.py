"""Drop path of a derived network, and the operation `noise`, whose draws come from its stream.

Shapes: B batch, C channels, H W space.
"""

import torch
from torch import Tensor, nn

from darts_engine.compute.parallel import WHOLE


class DropPath(nn.Module):
    """Drop whole paths per image: Larsson et al., FractalNet, 2017, arXiv 1605.07648.

    In training, an image's path is zeroed with probability `prob`, else scaled by 1 / (1 - prob).
    `prob`, `draws` and `shard` are set by the trainer before a step; other modes pass x through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.prob = 0.0
        self.draws: torch.Generator | None = None
        self.shard = WHOLE

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if not self.training or not self.prob:
            return x
        keep = 1 - self.prob
        return x * self.shard.mask(x.new_empty((len(x), 1, 1, 1)), keep, self.draws) / keep


class Noise(nn.Module):
    """The operation `noise` of the space S4: standard normal noise instead of the input.

    In training it is drawn for each image from the drop path's stream. Otherwise it is one map that
    `seed` names, the same for every image, so that a network's word on an image neither changes
    nor depends on its batch.
    """

    def __init__(self, stride: int, stochastic: DropPath, seed: int) -> None:
        super().__init__()
        # In a list, so that it is no submodule.
        self._stride, self._chance, self._seed = stride, [stochastic], seed
        self._map: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to noise of (B, C, ceil(H / stride), ceil(W / stride))."""
        like = x[:, :, :: self._stride, :: self._stride]
        if self.training:
            return self._chance[0].shard.noise(like, self._chance[0].draws)
        drawn = self._map
        if drawn is None or drawn.shape != like.shape[1:]:
            draws = torch.Generator().manual_seed(self._seed)
            drawn = self._map = torch.randn(like.shape[1:], generator=draws)
        return drawn.to(like).expand_as(like)
