"""Wide residual networks: Zagoruyko and Komodakis, 2016, arXiv 1605.07146.

WRN-d-k for images of the size of CIFAR's: a 3x3 convolution to 16 channels, three groups of
pre-activation blocks with 16 k, 32 k and 64 k channels, the second and third at half the resolution
of the one before, and a classifier on the mean over space. Shapes: B batch, C channels, H W space.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.compute.parallel import WHOLE
from darts_engine.layers.norm import BatchNorm
from darts_engine.run.architecture.networks import WideShape

FIRST_CHANNELS = 16


class Dropout(nn.Module):
    """Zero single numbers in training, drawn from a stream so that a resumed run draws the same.

    `draws` and `shard` are set by the trainer before a step; in evaluation x passes through.
    """

    def __init__(self, prob: float) -> None:
        super().__init__()
        self.prob = prob
        self.draws: torch.Generator | None = None
        self.shard = WHOLE

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same; the numbers that are kept are scaled by 1 / (1 - prob)."""
        if not self.training or not self.prob:
            return x
        keep = 1 - self.prob
        return x * self.shard.mask(x, keep, self.draws) / keep


class Block(nn.Module):
    """Norm, ReLU and 3x3 convolution, twice; dropout between the convolutions (section 2.4).

    Where the shape changes, the shortcut is a 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: Dropout) -> None:
        super().__init__()
        self.norm1 = BatchNorm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = BatchNorm(outputs)
        self.dropout = dropout
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        active = functional.relu(self.norm1(x))
        # Where the shape changes, the shortcut also starts after the ReLU (the authors' code).
        short = x if self.shortcut is None else self.shortcut(active)
        inner = self.dropout(functional.relu(self.norm2(self.conv1(active))))
        out: Tensor = short + self.conv2(inner)
        return out


class WideResNet(nn.Module):
    """WRN-d-k.

    Args:
        shape: depth and width.
        in_channels: channels of the images.
        classes: outputs.
        dropout: probability between the two convolutions of a block.
        init: how weights are drawn, "fan-out" or "fan-in".
        seed: names the stream that weights are drawn from.
    """

    def __init__(
        self,
        shape: WideShape,
        *,
        in_channels: int = 3,
        classes: int = 10,
        dropout: float = 0.0,
        init: str = "fan-out",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.seed_of(seed, "weights"))
            self.stem = nn.Conv2d(in_channels, FIRST_CHANNELS, 3, 1, 1, bias=False)
            self.blocks = nn.ModuleList()
            inputs = FIRST_CHANNELS
            for group, outputs in enumerate(shape.channels):
                for place in range(shape.blocks):
                    stride = 2 if group and not place else 1
                    self.blocks.append(Block(inputs, outputs, stride, self.dropout))
                    inputs = outputs
            self.norm = BatchNorm(inputs)
            self.classifier = nn.Linear(inputs, classes)
            self._initialise(init)

    def _initialise(self, init: str) -> None:
        """He et al., 2015, arXiv 1502.01852: normal convolutions of mean 0; biases are 0.

        "fan-out" has variance 2 / (outputs * k * k), eq. 14, and torch's uniform classifier.
        "fan-in" has variance 2 / (inputs * k * k), eq. 10, and a classifier of zeros.
        """
        mode: Literal["fan_in", "fan_out"] = "fan_in" if init == "fan-in" else "fan_out"
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)
        if init == "fan-in":
            nn.init.zeros_(self.classifier.weight)

    @property
    def masks(self) -> Dropout:
        """The module whose random masks a training step draws."""
        return self.dropout

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Images (B, in_channels, H, W) to logits; there is no auxiliary head."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        pooled = functional.adaptive_avg_pool2d(functional.relu(self.norm(x)), 1).flatten(1)
        return self.classifier(pooled), None
