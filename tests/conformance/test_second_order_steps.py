"""Steps of second order beside the paper's equations 6 to 8 (Liu et al., DARTS, arXiv 1806.09055).

The reference moves copies, or differentiates through the virtual step itself; the search moves its
weights in place. Momentum is there from the second step on.
"""

import copy
from contextlib import contextmanager

import pytest
import torch
from tests.conformance.steps_kit import Reference, batch, differences, search, walk
from torch.nn import functional

# Clipped at this norm, every real step is shorter; the virtual one is not clipped.
CLIP = 0.05
CLOSE = 1e-13


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


@pytest.mark.parametrize("rule", RULES)
def test_three_steps_with_momentum(rule):
    ours = search(
        search__method="darts-2nd", space__nodes=1, search__hvp=rule, weights__grad_clip=CLIP
    )
    theirs = Reference(ours)
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
