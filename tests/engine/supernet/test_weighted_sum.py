"""An edge's sum in few passes against its definition."""

import copy

import pytest
import torch

from darts_engine.layers.norm import BatchNorm
from darts_engine.supernet import weighted_sum as module
from darts_engine.supernet.weighted_sum import Summand, sum_by_definition, weighted_sum

CHANNELS_LAST = torch.channels_last


class Edge:
    """Summands with and without a norm, in any order, for some columns of the weights."""

    def __init__(self, shape, dtype=torch.float64, order="nsnns"):
        torch.manual_seed(3)
        self.weights = torch.randn(len(order) + 2, dtype=dtype, requires_grad=True)
        self.values = [
            (2 + torch.randn(shape, dtype=dtype))
            .contiguous(memory_format=CHANNELS_LAST)
            .requires_grad_()
            for _ in order
        ]
        self.norms = [
            BatchNorm(shape[1], affine=False).to(dtype) if kind == "n" else None for kind in order
        ]

    def results(self, how):
        """Output, gradients of weights and values, running statistics."""
        norms = copy.deepcopy(self.norms)
        columns = range(1, len(self.values) + 1)
        out = how(self.weights, [*map(Summand, columns, self.values, norms)])
        torch.manual_seed(4)
        leaves = [self.weights, *self.values]
        grads = torch.autograd.grad(out, leaves, torch.randn_like(out))
        return [out, *grads, *(t for n in norms if n for t in n.state_dict().values())]


@pytest.mark.parametrize("order", ["nsnns", "ssn", "n", "ss"])
@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (3, 4, 5, 7), (2, 5, 1, 1)])
def test_few_passes_give_the_numbers_of_the_definition(shape, order):
    edge = Edge(shape, order=order)
    for fast, plain in zip(
        edge.results(weighted_sum), edge.results(sum_by_definition), strict=True
    ):
        assert fast.shape == plain.shape
        assert torch.allclose(fast.double(), plain.double(), atol=1e-12, rtol=1e-10)


def test_float32_is_as_exact_as_the_definition_is():
    edge, exact = (Edge((16, 16, 16, 16), dtype) for dtype in (torch.float32, torch.float64))
    with torch.no_grad():
        for mine, true in zip(
            [edge.weights, *edge.values], [exact.weights, *exact.values], strict=True
        ):
            true.copy_(mine)
    out = edge.results(weighted_sum)[0]
    plain_out = edge.results(sum_by_definition)[0]
    true_out = exact.results(sum_by_definition)[0]
    assert out.is_contiguous(memory_format=CHANNELS_LAST)

    def off(found, truth):
        return (found.detach().double() - truth.detach()).norm() / truth.detach().norm()

    assert off(out, true_out) < 2 * off(plain_out, true_out)


def test_it_differentiates_twice():
    edge = Edge((3, 2, 3, 3), order="ns")

    def sums(weights, *values):
        return weighted_sum(weights, [Summand(1, values[0], edge.norms[0]), Summand(2, values[1])])

    assert torch.autograd.gradgradcheck(sums, (edge.weights, *edge.values))


def test_weights_that_need_no_gradient_get_none_and_change_nothing():
    edge = Edge((4, 3, 4, 4))
    with_weights = edge.results(weighted_sum)
    frozen = edge.weights.detach()
    out = weighted_sum(frozen, [*map(Summand, range(1, 6), edge.values, edge.norms)])
    torch.manual_seed(4)
    grads = torch.autograd.grad(out, edge.values, torch.randn_like(out))
    assert all(map(torch.equal, grads, with_weights[2:7]))


@pytest.mark.parametrize("why", ["evaluation", "synchronised", "affine"])
def test_what_it_cannot_share_is_summed_as_the_definition_says(monkeypatch, why):
    edge = Edge((4, 3, 4, 4), order="n")
    (norm,) = edge.norms
    if why == "evaluation":
        norm.eval()
    elif why == "synchronised":
        norm.across_ranks = lambda _norm, x: x
    else:
        norm = BatchNorm(3, affine=True).double()
    monkeypatch.delattr(module, "_WeightedSum")
    summand = Summand(1, edge.values[0], norm)
    assert torch.equal(
        weighted_sum(edge.weights, [summand]), sum_by_definition(edge.weights, [summand])
    )
