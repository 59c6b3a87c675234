"""Whole derived networks against a plain reading of the papers, from weights of official names.

The reading here knows a genotype's parts and a state dictionary only, and shares no code with the
engine's network.
"""

import pytest
import torch
from torch.nn import functional

from darts_engine.networks import official_state
from darts_engine.networks.derived import Network
from darts_engine.run.architecture.text import published


class Plain:
    """A network in evaluation mode, read from its weights."""

    def __init__(self, state, genotype, layers, stem):
        self.state, self.genotype, self.layers, self.stem = state, genotype, layers, stem

    def conv(self, name, x, stride=1, padding=0, dilation=1, groups=1):
        weight = self.state[f"{name}.weight"]
        return functional.conv2d(x, weight, None, stride, padding, dilation, groups)

    def norm(self, name, x):
        parts = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(self.state[f"{name}.{part}"] for part in parts))

    def one_by_one(self, name, x):
        return self.norm(f"{name}.op.2", self.conv(f"{name}.op.1", x.relu()))

    def halved(self, name, x):
        x = x.relu()
        halves = [self.conv(f"{name}.conv_1", x, 2), self.conv(f"{name}.conv_2", x[..., 1:, 1:], 2)]
        return self.norm(f"{name}.bn", torch.cat(halves, 1))

    def separable(self, name, first, x, kernel, stride, dilation=1):
        pad = dilation * (kernel // 2)
        x = self.conv(f"{name}.op.{first}", x.relu(), stride, pad, dilation, x.shape[1])
        return self.norm(f"{name}.op.{first + 2}", self.conv(f"{name}.op.{first + 1}", x))

    def operation(self, kind, name, x, stride):
        if kind == "max_pool_3x3":
            return functional.max_pool2d(x, 3, stride, 1)
        if kind == "avg_pool_3x3":
            return functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
        if kind == "skip_connect":
            return x if stride == 1 else self.halved(name, x)
        if kind == "conv_7x1_1x7":
            x = self.conv(f"{name}.1", x.relu(), (1, stride), (0, 3))
            return self.norm(f"{name}.3", self.conv(f"{name}.2", x, (stride, 1), (3, 0)))
        kernel = int(kind[-1])
        if kind.startswith("dil"):
            return self.separable(name, 1, x, kernel, stride, 2)
        return self.separable(name, 5, self.separable(name, 1, x, kernel, stride), kernel, 1)

    def cell(self, name, kind, x0, x1, after_reduction):
        earlier = self.halved if after_reduction else self.one_by_one
        states = {0: earlier(f"{name}.preprocess0", x0)}
        states[1] = self.one_by_one(f"{name}.preprocess1", x1)
        parts, concat = self.genotype.cell(kind)
        for place, part in enumerate(parts):
            operation, node, source = part if len(part) == 3 else (part[0], place // 2 + 2, part[1])
            stride = 2 if kind == "reduce" and source < 2 else 1
            out = self.operation(operation, f"{name}._ops.{place}", states[source], stride)
            states[node] = states[node] + out if node in states else out
        return torch.cat([states[state] for state in concat if state in states], 1)

    def __call__(self, x):
        if self.stem == "cifar":
            x0 = x1 = self.norm("stem.1", self.conv("stem.0", x, 1, 1))
        else:
            x0 = self.norm("stem0.1", self.conv("stem0.0", x, 2, 1)).relu()
            x0 = self.norm("stem0.4", self.conv("stem0.3", x0, 2, 1))
            x1 = self.norm("stem1.2", self.conv("stem1.1", x0.relu(), 2, 1))
        after_reduction, shapes = self.stem == "imagenet", []
        for layer in range(self.layers):
            kind = "reduce" if layer in (self.layers // 3, 2 * self.layers // 3) else "normal"
            x0, x1 = x1, self.cell(f"cells.{layer}", kind, x0, x1, after_reduction)
            after_reduction = kind == "reduce"
            shapes.append(tuple(x1.shape[1:3]))
        pooled = x1.mean((2, 3))
        return functional.linear(
            pooled, self.state["classifier.weight"], self.state["classifier.bias"]
        ), shapes


def lively(state):
    """The state with statistics and scales that no two channels share."""
    draws = torch.Generator().manual_seed(3)
    for key, value in state.items():
        if "running" in key or value.dim() == 1:
            value.copy_(torch.rand(value.shape, generator=draws, dtype=value.dtype) + 0.5)
    return state


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", ["DARTS_V2", "NASNet", "AmoebaNet", "FairDARTS_a"])
def test_logits_are_those_of_a_plain_reading(name, stem):
    genotype, layers = published()[name].genotype, 5
    network = Network(genotype, channels=4, layers=layers, stem=stem, seed=2).double().eval()
    state = lively(official_state.export(network))
    official_state.load(network, state)
    side = 64 if stem == "imagenet" else 16
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        expected, _ = Plain(state, genotype, layers, stem)(x)
        ours, auxiliary = network(x)
    assert auxiliary is None
    assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-9)


def test_channels_and_sides_of_the_cells_are_those_of_the_paper() -> None:
    genotype = published()["DARTS_V2"].genotype
    network = Network(genotype, channels=16, layers=8).eval()
    with torch.no_grad():
        logits, shapes = Plain(official_state.export(network), genotype, 8, "cifar")(
            torch.zeros(2, 3, 32, 32)
        )
    assert shapes == [(64, 32), (64, 32), (128, 16), (128, 16), (128, 16), *[(256, 8)] * 3]
    assert logits.shape == (2, 10)
