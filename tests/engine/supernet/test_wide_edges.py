"""The edges that leave a state as one wide edge, against the same edges one by one."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.compute import device as devices
from darts_engine.layers.depthwise import dense, depthwise
from darts_engine.supernet import cell as search_cell
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.partial_channels import shuffle
from darts_engine.supernet.supernet import Supernet
from darts_engine.supernet.wide_edges import WideEdges

DOUBLE = torch.float64
# Each edge has two candidates, alike on the edges that leave the first state and not on others.
NARROWED = [
    ("sep_conv_3x3", "skip_connect") if edge in (0, 2, 5) else pair
    for edge, pair in enumerate(
        [("dil_conv_5x5", "none"), ("max_pool_3x3", "sep_conv_5x5"), ("none", "skip_connect")] * 3
    )
]
DESIGNS = {
    "darts": {"channels": 4},
    "wide-vector": {"channels": 8},
    "pc-darts": {"channels": 8, "partial": 4, "edge_normalisation": True},
    "narrowed": {"channels": 4, "names": {"normal": NARROWED, "reduce": NARROWED}},
    "darts-minus": {"channels": 4, "auxiliary_skip": True},
}


@contextmanager
def one_by_one() -> Iterator[None]:
    """Every edge is computed on its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_cell, "should_fuse", lambda *_: False)
        yield


def nodes_of(design: str) -> int:
    return 3 if design in ("narrowed", "pc-darts") else 2


def a_supernet(design: str, dtype: torch.dtype) -> Supernet:
    arguments = {
        "layers": 3,
        "nodes": nodes_of(design),
        "in_channels": 3,
        "classes": 5,
        "alpha_scale": 1.0,
    } | DESIGNS[design]
    supernet = Supernet(**arguments).to(dtype)
    devices.place(supernet, torch.device("cpu"))
    return supernet


def results(supernet: Supernet, size: int, *, twice: bool, training: bool = True) -> list[Tensor]:
    """Logits, gradients of all parameters, their product with a vector, running statistics."""
    supernet = copy.deepcopy(supernet).train(training)
    dtype = supernet.classifier.weight.dtype
    draws = torch.Generator().manual_seed(1)
    images = torch.randn(6, 3, size, size, generator=draws, dtype=DOUBLE).to(dtype)
    parameters = list(supernet.parameters())
    logits = supernet(images.contiguous(memory_format=torch.channels_last))
    loss = functional.cross_entropy(logits, torch.arange(6) % 5)
    grads = _filled(
        torch.autograd.grad(loss, parameters, create_graph=twice, allow_unused=True), parameters
    )
    found = [logits, *grads]
    if twice:
        vector = [torch.randn(g.shape, generator=draws, dtype=DOUBLE).to(dtype) for g in grads]
        along = sum((g * v).sum() for g, v in zip(grads, vector, strict=True))
        again = torch.autograd.grad(along, parameters, allow_unused=True)
        found += _filled(again, parameters)
    return [t.detach().to(DOUBLE) for t in [*found, *supernet.buffers()]]


def _filled(grads, parameters):
    return [torch.zeros_like(p) if g is None else g for g, p in zip(grads, parameters, strict=True)]


def distance(ours: list[Tensor], truth: list[Tensor]) -> float:
    ours, truth = (torch.cat([t.flatten() for t in ts]) for ts in (ours, truth))
    return float((ours - truth).norm() / truth.norm())


# The Hessian and the evaluation mode at odd sizes only, where parities and padding differ too.
@pytest.mark.parametrize(
    ("size", "twice", "training"),
    [(8, False, True), (9, False, True), (9, True, True), (9, False, False)],
)
@pytest.mark.parametrize(
    "design",
    [
        name if name == "pc-darts" else pytest.param(name, marks=pytest.mark.slow)
        for name in DESIGNS
    ],
)
def test_wide_edges_give_the_numbers_of_the_edges_one_by_one(
    design, size, twice, training, monkeypatch
):
    """Logits, gradients of both orders and statistics agree in float64 to 1e-12."""
    supernet = a_supernet(design, DOUBLE)
    # What evaluation normalises by.
    supernet(torch.randn(6, 3, size, size, dtype=DOUBLE))
    calls = []
    forward = WideEdges.forward
    monkeypatch.setattr(WideEdges, "forward", lambda *a: calls.append(1) or forward(*a))
    ours = results(supernet, size, twice=twice, training=training)
    wide, _ = len(calls), calls.clear()
    with one_by_one():
        theirs = results(supernet, size, twice=twice, training=training)
    assert wide == 3 * (2 if design == "narrowed" else nodes_of(design) + 1)
    assert not calls
    largest = max(float(t.abs().max()) for t in theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape
        assert float((mine - other).abs().max()) <= 1e-12 * max(largest, 1.0)
        assert float((mine - other).norm()) <= 1e-12 * float(other.norm()) + 1e-14 * largest


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("design", ["wide-vector", "pc-darts"])
def test_float32_is_as_exact_as_edges_one_by_one(design, training):
    supernet = a_supernet(design, torch.float32)
    supernet(torch.randn(6, 3, 8, 8))
    ours = results(supernet, 8, twice=False, training=training)
    with one_by_one():
        theirs = results(supernet, 8, twice=False, training=training)
        truth = results(supernet.to(DOUBLE), 8, twice=False, training=training)
    assert distance(ours, truth) < max(2 * distance(theirs, truth), 1e-6)


@pytest.mark.parametrize("why", ["active", "bfloat16", "synchronised", "large"])
def test_where_it_does_not_apply_edges_are_computed_one_by_one(why, monkeypatch):
    supernet = a_supernet("darts" if why != "large" else "wide-vector", torch.float32)
    images = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    monkeypatch.setattr(WideEdges, "forward", None)
    mixing = None
    if why == "active":
        weights = supernet.alphas.mixing()
        mixing = Mixing(weights, active={cell: [(4,)] * len(weights[cell]) for cell in weights})
    elif why == "synchronised":
        for module in supernet.modules():
            if hasattr(module, "across_ranks"):
                module.across_ranks = lambda _, x: x
    elif why == "large":
        monkeypatch.setattr("darts_engine.supernet.wide_edges.FEW_NUMBERS", 0)
        monkeypatch.setattr("darts_engine.supernet.wide_edges.VECTOR", 7)
    with torch.autocast("cpu", torch.bfloat16, enabled=why == "bfloat16"):
        assert supernet(images, mixing).isfinite().all()


def test_it_adds_nothing_to_a_checkpoint():
    assert not any("wide" in name for name in a_supernet("darts", DOUBLE).state_dict())


@pytest.mark.parametrize("channels", [12, 24])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_shuffling_channels_keeps_the_memory_as_it_is(memory, channels):
    x = torch.randn(2, channels, 3, 5)
    group = channels // 4
    first, others = (
        x[:, part].contiguous(memory_format=memory)
        for part in (slice(group), slice(group, channels))
    )
    out = shuffle(first, others, 4)
    assert out.is_contiguous(memory_format=memory)
    moved = [x[:, (c % 4) * group + c // 4] for c in range(channels)]
    assert torch.equal(out, torch.stack(moved, 1))


@pytest.mark.parametrize("shape", [(5, 3, 2, 2), (5, 3, 1, 2), (4, 3, 4, 4), (4, 3, 3, 4)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_kernels_on_smallest_maps_have_the_librarys_gradients(shape, kernel, dilation):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=DOUBLE, requires_grad=True)
    weight = torch.randn(3, 1, kernel, kernel, dtype=DOUBLE, requires_grad=True)
    ours = depthwise(x, weight, 1, dilation)
    theirs = functional.conv2d(x, weight, None, 1, dilation * (kernel // 2), dilation, 3)
    grad = torch.randn_like(ours)
    for mine, other in zip(
        [ours, *torch.autograd.grad(ours, (x, weight), grad)],
        [theirs, *torch.autograd.grad(theirs, (x, weight), grad)],
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
    again = lambda x, weight: depthwise(x, weight, 1, dilation)  # noqa: E731
    assert torch.autograd.gradgradcheck(again, (x, weight))


@pytest.mark.parametrize("size", [(9, 8), (4, 4), (1, 2)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_dense_convolutions_are_the_librarys(size, kernel, stride, dilation):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=DOUBLE, requires_grad=True)
    weight = torch.randn(4, 3, kernel, kernel, dtype=DOUBLE, requires_grad=True)
    ours = dense(x, weight, stride, dilation)
    theirs = functional.conv2d(x, weight, None, stride, dilation * (kernel // 2), dilation)
    grad = torch.randn_like(ours)
    for mine, other in zip(
        [ours, *torch.autograd.grad(ours, (x, weight), grad)],
        [theirs, *torch.autograd.grad(theirs, (x, weight), grad)],
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("limit", [0, pytest.param(2**20, marks=pytest.mark.slow)])
def test_composed_or_not_the_numbers_are_the_same(limit, monkeypatch):
    """They are those of the edges one by one."""
    supernet = a_supernet("wide-vector", DOUBLE)
    monkeypatch.setattr("darts_engine.supernet.wide_edges.FEW_PRODUCTS", limit)
    ours = results(supernet, 8, twice=False)
    with one_by_one():
        theirs = results(supernet, 8, twice=False)
    assert distance(ours, theirs) <= 1e-13
