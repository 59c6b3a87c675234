"""Steps of second order beside the paper's equations 6 to 8 (Liu et al., DARTS, arXiv 1806.09055).

The reference moves copies, or differentiates through the virtual step itself; the search moves its
weights in place. Momentum is there from the second step on.
"""

import copy
from collections import deque
from contextlib import contextmanager

import pytest
import torch
from tests.conformance.official_one_cell import Official101, mix_101
from tests.conformance.steps_kit import (
    CLASSES,
    Reference,
    batch,
    differences,
    recorded_draws,
    search,
    walk,
)
from torch.nn import functional

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

# Clipped at this norm, every real step is shorter; the virtual one is not clipped.
CLIP = 0.05
CLOSE = 1e-12


@contextmanager
def statistics_put_back(network):
    """Inside, running statistics change; afterwards they are as before."""
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    yield
    for name, tensor in network.named_buffers():
        tensor.copy_(before[name])


def virtual(reference, gradients):
    """w' = w - xi (mu b + g + lambda w) of every weight."""
    (group,) = reference.sgd.param_groups
    ahead = {}
    for (name, w), g in zip(reference.network.named_parameters(), gradients, strict=True):
        b = reference.sgd.state[w].get("momentum_buffer", torch.zeros_like(w))
        step = group["momentum"] * b + g + group["weight_decay"] * w
        ahead[name] = w - group["lr"] * step
    return ahead


def weight_gradients(reference, loss, *, create_graph=False):
    weights = list(reference.network.parameters())
    return torch.autograd.grad(loss, weights, create_graph=create_graph, materialize_grads=True)


def length(vectors):
    """The L2 norm over all weights."""
    return torch.cat([v.flatten() for v in vectors]).norm()


def by_finite_difference(reference, valid, train, radius=0.01):
    """Alpha's gradient by eq. 7 and 8 on a copied network, and the validation loss."""
    alphas = list(reference.alphas.values())
    xi = reference.sgd.param_groups[0]["lr"]
    gradients = weight_gradients(reference, reference.loss(train))
    with torch.no_grad():
        ahead = virtual(reference, gradients)
    other = copy.copy(reference)
    other.network = copy.deepcopy(reference.network)
    other.network.load_state_dict(ahead, strict=False)
    loss = other.loss(valid)
    direct = torch.autograd.grad(loss, alphas, retain_graph=True)
    along = weight_gradients(other, loss)
    epsilon = radius / length(along)
    sides = []
    for sign in (1, -1):
        side = copy.copy(reference)
        side.network = copy.deepcopy(reference.network)
        with torch.no_grad():
            for w, v in zip(side.network.parameters(), along, strict=True):
                w.add_(sign * epsilon * v)
        sides.append(torch.autograd.grad(side.loss(train), alphas))
        reference.network.load_state_dict(dict(side.network.named_buffers()), strict=False)
    product = [(p - m) / (2 * epsilon) for p, m in zip(*sides, strict=True)]
    return loss.item(), [d - xi * h for d, h in zip(direct, product, strict=True)]


def by_differentiating_twice(reference, valid, train):
    """Alpha's gradient by autograd through the virtual step, and the validation loss."""
    gradients = weight_gradients(reference, reference.loss(train), create_graph=True)
    ahead = virtual(reference, gradients)
    mixing = reference.mix(reference.alphas)
    logits = torch.func.functional_call(reference.network, ahead, (valid[0], *mixing))
    loss = functional.cross_entropy(logits, valid[1])
    return loss.item(), torch.autograd.grad(loss, list(reference.alphas.values()))


RULES = {"finite-difference": by_finite_difference, "exact": by_differentiating_twice}


def alpha_step(reference, rule, epoch, number):
    valid, train = batch("alpha", epoch, number), batch("weights", epoch, number)
    loss, gradients = RULES[rule](reference, valid, train)
    reference.losses.append(loss)
    reference.zero()
    for alpha, gradient in zip(reference.alphas.values(), gradients, strict=True):
        alpha.grad = gradient
    reference.adam.step()


@pytest.mark.parametrize(
    ("space", "rule"),
    [("darts", "finite-difference"), ("darts", "exact"), ("1shot1-2", "finite-difference")],
)
def test_three_steps_with_momentum(space, rule):
    ours = search(
        search__method="darts-2nd",
        space__space=space,
        space__nodes=1 if space == "darts" else 4,
        search__hvp=rule,
        weights__grad_clip=CLIP,
    )
    if space == "darts":
        theirs = Reference(ours)
    else:
        network = Official101(nodes=4, channels=4, layers=3, classes=CLASSES)
        theirs = Reference(ours, network, mix_101)
    lengths = []

    def step(epoch, number):
        # DEVIATION: none of the four passes changes running statistics (docs/methods.md).
        with statistics_put_back(theirs.network):
            alpha_step(theirs, rule, epoch, number)
            loss = theirs.loss(batch("weights", epoch, number))
            lengths.append(float(length(weight_gradients(theirs, loss))))
        theirs.weight_step(batch("weights", epoch, number))

    found = walk(ours, theirs, epochs=(1,), steps=(1, 2, 3), step=step)
    assert min(lengths) > 2 * CLIP
    assert max(found.values()) < CLOSE, found


def test_the_official_statistics_take_in_the_training_batch_three_times_more():
    """What DEVIATION leaves out, and that nothing else depends on it in training mode."""
    ours = search(search__method="darts-2nd", space__nodes=1)
    theirs = Reference(ours)

    def step(epoch, number):
        alpha_step(theirs, "finite-difference", epoch, number)
        theirs.weight_step(batch("weights", epoch, number))

    found = walk(ours, theirs, epochs=(1,), steps=(1,), step=step)
    assert found.pop("statistics") > 0.01
    assert max(found.values()) < CLOSE, found


def test_the_virtual_step_decides_the_gradient():
    """Without it alpha goes elsewhere, so the agreement above is no accident."""
    ours = search(search__method="darts-2nd", space__nodes=1)
    first = Reference(ours)
    walk(ours, first, epochs=(1,), steps=(1, 2))
    assert differences(ours, first)["alphas"] > 1e-4


NOISY = {
    "noise": {"space__space": "s4"},
    "masks": {"method__edge_drop_path": 0.6},
}


@pytest.mark.parametrize("kind", NOISY)
def test_the_passes_of_an_alpha_step_share_their_draws(kind, monkeypatch):
    """The difference of two passes is that of their weights, and not of their noise or masks.

    The official code draws in every pass anew, and divides the difference by 2 epsilon.
    """
    ours = search(search__order=2, space__nodes=1, **NOISY[kind])
    theirs = Reference(ours)
    passes = deque()

    def draw(network, _):
        getattr(network.chance, kind).extend(passes.popleft())

    theirs.network.register_forward_pre_hook(draw)
    with recorded_draws(monkeypatch) as drawn:

        def step(epoch, number):
            theirs.network.chance.keep = 1 - 0.6 * (epoch - 1) / 3 if kind == "masks" else 1.0
            each = [tensor for _, tensor in drawn[kind]]
            # Two edges of three cells.
            passes.extend(each[start : start + 6] for start in range(0, len(each), 6))
            first, *others, last = passes
            assert len(others) == 3
            assert all(same(first, other) for other in others)
            assert not same(first, last)
            drawn[kind].clear()
            with statistics_put_back(theirs.network):
                alpha_step(theirs, "finite-difference", epoch, number)
            theirs.weight_step(batch("weights", epoch, number))
            assert not passes

        found = walk(ours, theirs, epochs=(3, 4), step=step)
    assert max(found.values()) < CLOSE, found


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
