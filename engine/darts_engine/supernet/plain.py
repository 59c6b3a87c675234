"""The supernet as the paper defines it, edge by edge and operation by operation.

Liu et al., DARTS, 2019, arXiv 1806.09055: slow and obvious. The tests hold our supernet's numbers
against it, and the benchmark our times. Every edge owns every one of its operations, poolings and
their batch norms included, and nothing is shared.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """One candidate, from (B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""

    def norm() -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, affine=False)

    def conv(kernel: int, step: int, dilation: int = 1) -> list[nn.Module]:
        pad = dilation * (kernel - 1) // 2
        return [
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, step, pad, dilation, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            norm(),
        ]

    match name:
        case "none":
            return Nothing(stride)
        case "max_pool_3x3":
            return nn.Sequential(nn.MaxPool2d(3, stride, 1), norm())
        case "avg_pool_3x3":
            return nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm())
        case "skip_connect":
            return nn.Identity() if stride == 1 else Halve(channels, channels)
        case "sep_conv_3x3" | "sep_conv_5x5":
            kernel = int(name[-1])
            return nn.Sequential(*conv(kernel, stride), *conv(kernel, 1))
        case "dil_conv_3x3" | "dil_conv_5x5":
            return nn.Sequential(*conv(int(name[-1]), stride, dilation=2))
    raise ValueError(name)


class Nothing(nn.Module):
    """`none`: zeros of the right size, computed from x."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
        return x[:, :, :: self.stride, :: self.stride] * 0


class Halve(nn.Module):
    """Half the resolution, by two 1x1 convolutions of stride 2, one shifted by a pixel."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels_in, channels_out // 2, 1, 2, bias=False)
        self.b = nn.Conv2d(channels_in, channels_out // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) to (B, Cout, ceil(H / 2), ceil(W / 2))."""
        x = functional.relu(x)
        y = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        out: Tensor = self.norm(torch.cat([self.a(x), self.b(y[:, :, 1:, 1:])], 1))
        return out


class PlainCell(nn.Module):
    """A cell whose edges each hold all candidates."""

    def __init__(
        self,
        names: Sequence[str],
        nodes: int,
        before: tuple[int, int],
        channels: int,
        *,
        reduces: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        self.nodes = nodes
        self.enter0: nn.Module
        if after_reduction:
            self.enter0 = Halve(before[0], channels)
        else:
            self.enter0 = self._enter(before[0], channels)
        self.enter1 = self._enter(before[1], channels)
        self.edges = nn.ModuleList(
            nn.ModuleList(
                operation(name, channels, 2 if reduces and j < 2 else 1) for name in names
            )
            for i in range(nodes)
            for j in range(i + 2)
        )

    @staticmethod
    def _enter(channels_in: int, channels: int) -> nn.Module:
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels_in, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=False),
        )

    def forward(self, x0: Tensor, x1: Tensor, weights_EO: Tensor) -> Tensor:
        """Outputs of the two cells before, to (B, nodes * C, H', W')."""
        states = [self.enter0(x0), self.enter1(x1)]
        k = 0
        for i in range(self.nodes):
            total: Tensor | int = 0
            for j in range(i + 2):
                for o, op in enumerate(cast("nn.ModuleList", self.edges[k])):
                    total = total + weights_EO[k, o] * op(states[j])
                k += 1
            states.append(total)
        return torch.cat(states[2:], 1)


class PlainSupernet(nn.Module):
    """The whole network; its mixing weights are given to `forward`."""

    def __init__(
        self,
        names: Sequence[str],
        nodes: int,
        channels: int,
        layers: int,
        in_channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        wide = 3 * channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide)
        )
        before, self.cells = (wide, wide), nn.ModuleList()
        self.reduces: list[bool] = []
        for layer in range(layers):
            reduces = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduces else 1
            after = bool(self.reduces) and self.reduces[-1]
            self.cells.append(
                PlainCell(names, nodes, before, channels, reduces=reduces, after_reduction=after)
            )
            self.reduces.append(reduces)
            before = (before[1], nodes * channels)
        self.classifier = nn.Linear(before[1], classes)

    def forward(self, x: Tensor, normal_EO: Tensor, reduce_EO: Tensor) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes)."""
        x0 = x1 = self.stem(x)
        for cell, reduces in zip(self.cells, self.reduces, strict=True):
            x0, x1 = x1, cell(x0, x1, reduce_EO if reduces else normal_EO)
        logits: Tensor = self.classifier(x1.mean((2, 3)))
        return logits


def copy_weights(fast: nn.Module, plain: PlainSupernet) -> None:
    """Give the plain supernet our one's weights: both list them in the same order."""
    theirs = [p for n, p in fast.named_parameters() if not n.startswith("alphas.")]
    mine = list(plain.parameters())
    assert [p.shape for p in mine] == [p.shape for p in theirs]
    with torch.no_grad():
        for target, source in zip(mine, theirs, strict=True):
            target.copy_(source)
