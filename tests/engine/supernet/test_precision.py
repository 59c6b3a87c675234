"""float32 against float64: the supernet is as exact as the plain one in contiguous memory.

docs/precision.md tells what these tests hold and why they exist.
"""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional

from darts_engine.compute import device as devices
from darts_engine.layers import norm
from darts_engine.layers.norm import BatchNorm, statistics_kept
from darts_engine.layers.operations import PRIMITIVES
from darts_engine.methods.architects.second_order import (
    SecondOrder,
    VirtualStep,
    combine,
    exact,
    unroll,
)
from darts_engine.run.settings.config import AlphaSection
from darts_engine.supernet import official_state
from darts_engine.supernet.plain import PlainSupernet
from darts_engine.supernet.supernet import Supernet

CHANNELS_LAST, DOUBLE = torch.channels_last, torch.float64


def distance(ours, truth):
    ours, truth = (torch.cat([t.double().reshape(-1) for t in ts]) for ts in (ours, truth))
    return float((ours - truth).norm() / truth.norm())


def image(*shape, seed=0):
    torch.manual_seed(seed)
    return torch.randn(shape).add_(1.0).contiguous(memory_format=CHANNELS_LAST)


def normalise(layer, x, gradient):
    x = x.detach().requires_grad_()
    out = layer(x)
    return [out.detach()], torch.autograd.grad(out, [x, *layer.parameters()], gradient)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(
    "shape", [(16, 16, 32, 32), (5, 6, 9, 11), (2, 4, 1, 3), (64, 64, 8, 8), (4, 1, 32, 32)]
)
def test_batch_norm_is_exact_to_the_last_digits_in_channels_last_memory(shape, affine):
    x, gradient = image(*shape), image(*shape, seed=1)
    layer = BatchNorm(shape[1], affine=affine)
    if affine:
        nn.init.uniform_(layer.weight, 0.5, 2.0)
        nn.init.uniform_(layer.bias)
    library = nn.BatchNorm2d(shape[1], affine=affine).double()
    library.load_state_dict(layer.state_dict())
    out, grads = normalise(layer, x, gradient)
    true_out, true_grads = normalise(library, x.double(), gradient.double())
    assert distance(out, true_out) < 3e-7
    assert distance(grads, true_grads) < 3e-7
    assert out[0].is_contiguous(memory_format=CHANNELS_LAST)
    for name, value in library.state_dict().items():
        torch.testing.assert_close(layer.state_dict()[name].double(), value.double())


def test_the_librarys_own_sums_are_what_was_inexact():
    """If this fails the library has mended it, and `norm.BatchNorm` may go."""
    x = image(64, 16, 32, 32)
    exactly = nn.BatchNorm2d(16, affine=False).double()
    true, _ = normalise(exactly, x.double(), x.double())
    rows, _ = normalise(nn.BatchNorm2d(16, affine=False), x, x)
    planes, _ = normalise(nn.BatchNorm2d(16, affine=False), x.contiguous(), x.contiguous())
    assert distance(rows, true) > 10 * distance(planes, true)


def test_batch_norm_differentiates_twice():
    x = torch.randn(3, 2, 4, 4, dtype=DOUBLE, requires_grad=True)
    weight, bias = (torch.rand(2, dtype=DOUBLE, requires_grad=True) for _ in "wb")

    def layer(x, weight, bias):
        return norm._Normalise.apply(x, weight, bias, 1e-5)[0]

    assert torch.autograd.gradcheck(layer, (x, weight, bias))
    assert torch.autograd.gradgradcheck(layer, (x, weight, bias))


def test_statistics_can_be_kept():
    layer = BatchNorm(4, affine=False)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = image(8, 4, 8, 8)
    with statistics_kept(nn.Sequential(layer)):
        kept = layer(x)
    assert all(torch.equal(value, layer.state_dict()[name]) for name, value in before.items())
    assert torch.equal(kept, layer(x))
    assert layer.num_batches_tracked == 1


class Case:
    """A fast and a plain supernet with the same weights, alphas, batches and momentum."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.fast = Supernet(channels=8, layers=3, nodes=2, seed=seed, alpha_scale=1.0)
        self.plain = PlainSupernet(PRIMITIVES, 2, 8, 3, 3, 10)
        self.plain.load_state_dict(official_state.export(self.fast))
        self.batches = [(torch.randn(8, 3, 16, 16), torch.randint(10, (8,))) for _ in "vt"]

    def run(self, dtype, *, fast):
        """Logits, first-order gradients of all, and the exact second-order one of alpha."""
        network = copy.deepcopy(self.fast if fast else self.plain).to(dtype)
        alphas = [a.detach().to(dtype).requires_grad_() for a in self.fast.alphas.parameters()]
        if fast:
            devices.place(network, torch.device("cpu"))
        weights = [p for n, p in network.named_parameters() if not n.startswith("alphas.")]
        memory = CHANNELS_LAST if fast else torch.contiguous_format

        def logits(batch):
            mixing = [functional.softmax(a, 1) for a in alphas]
            x = batch[0].to(dtype).contiguous(memory_format=memory)
            return network(x, dict(zip(("normal", "reduce"), mixing, strict=True))) if fast else (
                network(x, *mixing)
            )  # fmt: skip

        valid, train = (
            lambda batch=batch: functional.cross_entropy(logits(batch), batch[1])
            for batch in self.batches
        )
        out = logits(self.batches[0]).detach()
        grads = torch.autograd.grad(valid(), [*weights, *alphas])
        step = VirtualStep(0.025, 0.9, 3e-4, [0.1 * w.detach() for w in weights])
        ahead = unroll(train, valid, weights, alphas, step)
        product = exact(train, weights, alphas, ahead.vector)
        return [out], grads, combine(ahead.direct, product, step.lr)


@pytest.mark.slow
def test_float32_is_as_close_to_float64_as_the_plain_supernet_is():
    """Outputs within 1e-5; gradients of both orders within twice the plain one's distance."""
    ours, theirs = [], []
    for seed in (1, 2, 3):
        case = Case(seed)
        truth = case.run(DOUBLE, fast=False)
        for distances, fast in ((ours, True), (theirs, False)):
            got = case.run(torch.float32, fast=fast)
            distances.append([distance(a, b) for a, b in zip(got, truth, strict=True)])
    # The median: a network in which a ReLU happens to flip says nothing of the arithmetic.
    mine, plain = (torch.tensor(d).median(0).values.tolist() for d in (ours, theirs))
    assert mine[0] < 1e-5
    assert mine[1] < 2 * plain[1], (ours, theirs)
    assert mine[2] < 2 * plain[2], (ours, theirs)


def test_finite_differences_compute_in_full_precision_under_autocast():
    """bfloat16 for the network never reaches the two difference passes."""
    features = []
    supernet = Supernet(channels=4, layers=3)
    supernet.stem[0].register_forward_hook(lambda _m, _i, out: features.append(out.dtype))
    sgd = torch.optim.SGD(supernet.weights(), 0.05, 0.9)
    batch = (torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3]))
    for precision, expected in (
        (lambda: torch.autocast("cpu", torch.bfloat16), [torch.bfloat16] * 2),
        (nullcontext, [torch.float32] * 2),
    ):
        features.clear()
        SecondOrder(
            supernet, AlphaSection(), precision,
            optimizer=sgd, product="finite-difference", radius=0.01,
        ).alpha_gradient(batch, batch)  # fmt: skip
        assert features == [*expected, torch.float32, torch.float32]
