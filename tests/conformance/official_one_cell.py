"""The supernets of the spaces with one cell type, written from their papers' equations.

`Official201`: Dong and Yang, NAS-Bench-201, 2020, arXiv 2001.00326, section 2. `Official101`: Zela,
Siems and Hutter, NAS-Bench-1Shot1, 2020, arXiv 2001.10422, section 3. Modules have the names of the
official code; `renamed` brings ours to them. Shapes: B batch, C channels, H W space, E edges,
N nodes, O operations.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.supernet.nasbench201 import Supernet201
from darts_engine.supernet.oneshot import OneShotSupernet
from darts_engine.supernet.plain import Stack
from darts_engine.supernet.relaxed import RelaxedNetwork

OPERATIONS_201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
KEYS_201 = ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")


def relu_conv_norm(
    channels_in: int, channels_out: int, kernel: int, stride: int, *, affine: bool
) -> nn.Module:
    """ReLU, convolution, batch norm; the convolution has a bias where the norm has none."""
    return Stack(
        nn.ReLU(),
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=not affine),
        nn.BatchNorm2d(channels_out, affine=affine),
    )


class Cell201(nn.Module):
    """Nodes 1 to 3, each the sum of a mixed edge from every node before it; the last is the output.

    Poolings have no batch norm.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict({key: self._candidates(channels) for key in KEYS_201})

    @staticmethod
    def _candidates(channels: int) -> nn.ModuleList:
        modules: dict[str, nn.Module] = {
            "none": nn.Identity(),
            "skip_connect": nn.Identity(),
            "nor_conv_1x1": relu_conv_norm(channels, channels, 1, 1, affine=False),
            "nor_conv_3x3": relu_conv_norm(channels, channels, 3, 1, affine=False),
            "avg_pool_3x3": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        }
        return nn.ModuleList(modules[name] for name in OPERATIONS_201)

    def forward(self, x: Tensor, weights_EO: Sequence[Sequence[Tensor]]) -> Tensor:
        """(B, C, H, W) to the same."""
        nodes = {0: x}
        for key, row in zip(KEYS_201, weights_EO, strict=True):
            target, source = int(key[0]), int(key[-1])
            state = nodes[source]
            terms = [w * op(state) for w, op in list(zip(row, self.edges[key], strict=True))[1:]]
            out = sum(terms, row[0] * 0 * state)
            nodes[target] = nodes[target] + out if target in nodes else out
        return nodes[3]


class Residual201(nn.Module):
    """Two 3x3 convolutions and a shortcut at half the resolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv_a = relu_conv_norm(channels_in, channels_out, 3, 2, affine=True)
        self.conv_b = relu_conv_norm(channels_out, channels_out, 3, 1, affine=True)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, 2), nn.Conv2d(channels_in, channels_out, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) to (B, Cout, H / 2, W / 2)."""
        out: Tensor = self.downsample(x) + self.conv_b(self.conv_a(x))
        return out


class Official201(nn.Module):
    """Stem, three stages of `each` cells with residual blocks between, norm, classifier."""

    def __init__(self, *, channels: int, each: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.cells = nn.ModuleList()
        for stage in range(3):
            if stage:
                self.cells.append(Residual201(channels, 2 * channels))
                channels *= 2
            self.cells.extend(Cell201(channels) for _ in range(each))
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor, weights_EO: Tensor) -> Tensor:
        """Images (B, 3, H, W) to logits (B, classes)."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x, weights_EO) if isinstance(cell, Cell201) else cell(x)
        logits: Tensor = self.classifier(self.lastact(x).mean((2, 3)))
        return logits


def mix_201(alphas: Mapping[str, Tensor]) -> tuple[Tensor]:
    """Softmax over the operations of each edge."""
    return (torch.softmax(alphas["cell"], -1),)


def conv_norm_relu(channels_in: int, channels_out: int, kernel: int) -> nn.Module:
    """Convolution, batch norm with scale and shift, ReLU."""
    return Stack(
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class Named(nn.Module):
    """A module under the name `op`, as the official code wraps its convolutions."""

    def __init__(self, op: nn.Module) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        """What the module computes."""
        out: Tensor = self.op(x)
        return out


class ChoiceBlock(nn.Module):
    """A node: the weighted sum of maximum, 3x3 and 1x1 convolution of the sum of its inputs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        operations = [
            nn.MaxPool2d(3, 1, 1),
            Named(conv_norm_relu(channels, channels, 3)),
            Named(conv_norm_relu(channels, channels, 1)),
        ]
        self.mixed_op = nn.ModuleDict({"_ops": nn.ModuleList(operations)})

    def forward(self, states: Sequence[Tensor], row: Sequence[Tensor | None]) -> Tensor:
        """States (B, C, H, W) to the same; a weight of None is not computed."""
        x = sum(states[1:], states[0])
        operations = self.mixed_op["_ops"]
        terms = [w * op(x) for w, op in zip(row, operations, strict=True) if w is not None]
        return sum(terms[1:], terms[0])


class Cell101(nn.Module):
    """A cell: its input reaches each node and the output through a 1x1 convolution of its own."""

    def __init__(self, channels_in: int, channels: int, nodes: int) -> None:
        super().__init__()
        self._choice_blocks = nn.ModuleList(ChoiceBlock(channels) for _ in range(nodes))
        self._input_projections = nn.ModuleList(
            conv_norm_relu(channels_in, channels * (nodes if last else 1), 1)
            for last in [*[False] * nodes, True]
        )

    def forward(
        self, x: Tensor, operations_NO: Sequence[Sequence[Tensor]], parents: Mapping[int, Tensor]
    ) -> Tensor:
        """(B, Cin, H, W) to (B, N * C, H, W).

        Args:
            x: the input.
            operations_NO: the weights of each node's operations.
            parents: by node from 1, the weights of the states before it; nodes without have none.
        """
        projected = [projection(x) for projection in self._input_projections]
        states: list[Tensor] = []
        for node, block in enumerate(self._choice_blocks, 1):
            inputs = [projected[node - 1], *states]
            if node in parents:
                inputs = [w * s for w, s in zip(parents[node], inputs, strict=True)]
            states.append(block(inputs, operations_NO[node - 1]))
        first, *others = parents[len(states) + 1]
        weighted = torch.cat([w * s for w, s in zip(others, states, strict=True)], 1)
        return first * projected[-1] + weighted


class Official101(nn.Module):
    """Stem, cells with a padded 2x2 maximum before two of them, 1x1 convolution, classifier."""

    def __init__(self, *, nodes: int, channels: int, layers: int, classes: int) -> None:
        super().__init__()
        self.halvings = (layers // 3, 2 * layers // 3)
        self.stem = conv_norm_relu(3, channels, 3)
        self.cells = nn.ModuleList()
        before = channels
        for layer in range(layers):
            channels *= 2 if layer in self.halvings else 1
            self.cells.append(Cell101(before, channels, nodes))
            before = channels * nodes
        self.postprocess = Stack(
            nn.ReLU(),
            nn.Conv2d(before, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=False),
        )
        self.classifier = nn.Linear(channels, classes)

    def forward(
        self, x: Tensor, operations_NO: Sequence[Sequence[Tensor]], parents: Mapping[int, Tensor]
    ) -> Tensor:
        """Images (B, 3, H, W) to logits (B, classes); the rest as in `Cell101`."""
        x = self.stem(x)
        for layer, cell in enumerate(self.cells):
            if layer in self.halvings:
                x = functional.max_pool2d(x, 2, 2, padding=1)
            x = cell(x, operations_NO, parents)
        logits: Tensor = self.classifier(self.postprocess(x).mean((2, 3)))
        return logits


def mix_101(alphas: Mapping[str, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
    """Softmax over each node's operations, and over the states before each node that chooses."""
    parents = {
        int(name.removeprefix("parents")): torch.softmax(alpha[0], 0)
        for name, alpha in alphas.items()
        if name != "operations"
    }
    return torch.softmax(alphas["operations"], -1), parents


def renamed(supernet: RelaxedNetwork, name: str) -> str:
    """The official name of a tensor of a supernet with one cell type."""
    if isinstance(supernet, Supernet201):
        each = len(supernet.cells) // 3
        return _replaced(name, _rules_201(each))
    assert isinstance(supernet, OneShotSupernet)
    nodes = len(supernet.cells[0].nodes)
    return _replaced(
        name,
        [
            (r"(operations\.\d+)\.", r"\1.op."),
            (r"^(stem|cells.*)\.conv\.", r"\1.op.0."),
            (r"^(stem|cells.*)\.norm\.", r"\1.op.1."),
            (r"\.nodes\.(\d+)\.operations\.", r"._choice_blocks.\1.mixed_op._ops."),
            (r"\.projections\.", "._input_projections."),
            (r"(cells\.\d+)\.output\.", rf"\1._input_projections.{nodes}."),
            (r"^last\.conv", "postprocess.op.1"),
            (r"^last\.norm", "postprocess.op.2"),
        ],
    )


def _rules_201(each: int) -> list[tuple[str, str]]:
    # Before the cells of the second and third stage stands a block, which counts as a cell.
    rules = [(rf"^cells\.{layer}\.", f"cell.{layer + layer // each}.") for layer in range(3 * each)]
    rules += [(rf"^blocks\.{each * n}\.", f"cell.{each * n + n - 1}.") for n in (1, 2)]
    rules.append((r"^cell\.", "cells."))
    rules += [(rf"edges\.{place}\.", f"edges.{key}.") for place, key in enumerate(KEYS_201)]
    for place, name in enumerate(OPERATIONS_201):
        rules.append((rf"weighted\.{name}\.conv\.", f"{place}.op.1."))
        rules.append((rf"weighted\.{name}\.norm\.", f"{place}.op.2."))
    for ours, theirs in (("first", "conv_a"), ("second", "conv_b")):
        rules.append((rf"\.{ours}\.conv\.", f".{theirs}.op.1."))
        rules.append((rf"\.{ours}\.norm\.", f".{theirs}.op.2."))
    return [*rules, (r"\.shortcut\.", ".downsample.1."), (r"^norm\.", "lastact.0.")]


def _replaced(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, text in rules:
        name = re.sub(pattern, text, name)
    return name
