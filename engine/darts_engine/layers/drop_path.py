"""Drop path of a derived network, and the operation `noise`, which draws from the same stream.

Shapes: B batch, C channels, H W space.
"""

import torch
from torch import Tensor, nn

from darts_engine.compute.parallel import WHOLE


class DropPath(nn.Module):
    """Drop whole paths of single images: Larsson et al., FractalNet, 2017, arXiv 1605.07648.

    In training, the path of an image is zeroed with probability `prob` and otherwise scaled by
    1 / (1 - prob). In evaluation x passes unchanged. The trainer sets the attributes before a step.

    Attributes:
        prob: probability that a path is dropped.
        draws: the generator of the masks.
        shard: this process's part of the batch.
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

    In training it is drawn for each image from the stream of `drop_path`. In evaluation it is one
    map, the same for every image, so that a network's output for an image does not depend on the
    batch or change between calls.

    Args:
        stride: of the operation, 1 or 2.
        drop_path: has the generator of the noise.
        seed: of the map of evaluation.
    """

    def __init__(self, stride: int, drop_path: DropPath, seed: int) -> None:
        super().__init__()
        # In a list, so that it is not a submodule.
        self._stride, self._drop_path, self._seed = stride, [drop_path], seed
        self._map: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to noise of (B, C, ceil(H / stride), ceil(W / stride))."""
        like = x[:, :, :: self._stride, :: self._stride]
        if self.training:
            return self._drop_path[0].shard.noise(like, self._drop_path[0].draws)
        drawn = self._map
        if drawn is None or drawn.shape != like.shape[1:]:
            draws = torch.Generator().manual_seed(self._seed)
            drawn = self._map = torch.randn(like.shape[1:], generator=draws)
        return drawn.to(like).expand_as(like)
