"""The supernet as the paper defines it, edge by edge and operation by operation.

Liu et al., DARTS, 2019, arXiv 1806.09055: slow and obvious, to hold the product's fast one against.
Every edge owns every one of its operations, poolings and their batch norms included.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def operation(name: str, channels: int, stride: int) -> nn.Module:
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
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0


class Halve(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels_in, channels_out // 2, 1, 2, bias=False)
        self.b = nn.Conv2d(channels_in, channels_out // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        y = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        return self.norm(torch.cat([self.a(x), self.b(y[:, :, 1:, 1:])], 1))


class PlainCell(nn.Module):
    def __init__(self, names, nodes, before, channels, reduces, after_reduction) -> None:
        super().__init__()
        self.nodes = nodes
        if after_reduction:
            self.enter0: nn.Module = Halve(before[0], channels)
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

    def forward(self, x0: Tensor, x1: Tensor, weights: Tensor) -> Tensor:
        states = [self.enter0(x0), self.enter1(x1)]
        k = 0
        for i in range(self.nodes):
            total = 0
            for j in range(i + 2):
                for o, op in enumerate(self.edges[k]):
                    total = total + weights[k, o] * op(states[j])
                k += 1
            states.append(total)
        return torch.cat(states[2:], 1)


class PlainSupernet(nn.Module):
    def __init__(self, names, nodes, channels, layers, in_channels, classes) -> None:
        super().__init__()
        wide = 3 * channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide)
        )
        before, self.reduces, self.cells = (wide, wide), [], nn.ModuleList()
        for layer in range(layers):
            reduces = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduces else 1
            after = bool(self.reduces) and self.reduces[-1]
            self.cells.append(PlainCell(names, nodes, before, channels, reduces, after))
            self.reduces.append(reduces)
            before = (before[1], nodes * channels)
        self.classifier = nn.Linear(before[1], classes)

    def forward(self, x: Tensor, normal: Tensor, reduce: Tensor) -> Tensor:
        x0 = x1 = self.stem(x)
        for cell, reduces in zip(self.cells, self.reduces, strict=True):
            x0, x1 = x1, cell(x0, x1, reduce if reduces else normal)
        return self.classifier(x1.mean((2, 3)))


def copy_weights(fast: nn.Module, plain: PlainSupernet) -> None:
    """Give the plain supernet the fast one's weights: both list them in the same order."""
    theirs = [p for n, p in fast.named_parameters() if not n.startswith("alphas.")]
    mine = list(plain.parameters())
    assert [p.shape for p in mine] == [p.shape for p in theirs]
    with torch.no_grad():
        for target, source in zip(mine, theirs, strict=True):
            target.copy_(source)
