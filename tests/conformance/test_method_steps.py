"""Steps of each method in DARTS' space, beside the rule of its paper. See `steps_kit`."""

import pytest
import torch
from tests.conformance.official_cells import CELLS, pairs
from tests.conformance.official_one_cell import Official201, mix_201
from tests.conformance.steps_kit import CLASSES, Reference, batch, recorded_draws, search, walk
from torch.nn import functional

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

CLOSE = 1e-12


def first_order(theirs, epoch, number, penalty=None):
    theirs.alpha_step(batch("alpha", epoch, number), penalty)
    theirs.weight_step(batch("weights", epoch, number))


def test_darts():
    ours = search(search__method="darts")
    theirs = Reference(ours)
    found = walk(ours, theirs)
    assert max(found.values()) < CLOSE, found
    assert len(theirs.losses) == 6


def test_random_alpha_rests_and_the_weights_move_at_its_mixing():
    ours = search(search__method="random", alpha__init_scale=1.0)
    theirs = Reference(ours)
    before = ours.state_by_name()["alphas"]
    found = walk(ours, theirs, step=lambda epoch, n: theirs.weight_step(batch("weights", epoch, n)))
    assert max(found.values()) < CLOSE, found
    after = ours.state_by_name()["alphas"]
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_r_darts_l2_has_27_times_the_weight_decay():
    ours = search(search__method="r-darts-l2")
    theirs = Reference(ours)
    assert theirs.sgd.param_groups[0]["weight_decay"] == 27 * 3e-4
    found = walk(ours, theirs)
    assert max(found.values()) < CLOSE, found


def test_pc_darts():
    """K = 4, shuffled channels, shares of edges, and alpha at rest for 0.3 of the epochs."""
    ours = search(search__method="pc-darts", space__channels=8)
    theirs = Reference(ours)
    assert theirs.network.cells[0]._ops[0].partial == 4

    def step(epoch, number):
        if epoch > int(0.3 * 4):
            theirs.alpha_step(batch("alpha", epoch, number))
        theirs.weight_step(batch("weights", epoch, number))

    found = walk(ours, theirs, step=step)
    assert max(found.values()) < CLOSE, found
    # Two steps of alpha, three of the weights.
    assert len(theirs.losses) == 5
    assert {"normal_edges", "reduce_edges"} <= set(theirs.alphas)


def test_darts_minus():
    """The auxiliary skip's factor is (E - e) / E in epoch e of E, from 0."""
    ours = search(search__method="darts-minus")
    theirs = Reference(ours)

    def step(epoch, number):
        theirs.network.chance.auxiliary = (4 - (epoch - 1)) / 4
        first_order(theirs, epoch, number)

    found = walk(ours, theirs, step=step)
    assert max(found.values()) < CLOSE, found


@pytest.mark.parametrize(("form", "scale"), [("l2", 0.0), ("l1", 0.5)])
def test_fair_darts(form, scale):
    """Gates sigmoid(alpha), and ten times the zero-one loss over the entries of both cells."""
    ours = search(search__method="fair-darts", method__zero_one_form=form, alpha__init_scale=scale)
    theirs = Reference(
        ours, mix=lambda alphas: pairs({c: torch.sigmoid(alphas[c]) for c in CELLS}, alphas)
    )
    assert theirs.alphas["normal"].shape == (5, 7)

    def penalty(alphas):
        gates = torch.sigmoid(torch.cat([alphas[cell] for cell in CELLS]))
        apart = functional.mse_loss if form == "l2" else functional.l1_loss
        return -10 * apart(gates, torch.full_like(gates, 0.5))

    found = walk(ours, theirs, step=lambda e, n: first_order(theirs, e, n, penalty))
    assert max(found.values()) < CLOSE, found


def logsumexp_mean(alphas):
    return torch.cat([alpha.exp().sum(-1).log() for alpha in alphas.values()]).mean()


@pytest.mark.parametrize(("space", "nodes", "epochs"), [("darts", 2, 4), ("nasbench201", 3, 100)])
def test_beta_darts(space, nodes, epochs):
    """50 e / E times the mean over the edges of all cells, in epoch e from 0.

    With E = 100, as published for NAS-Bench-201, it is the official 50 e / 100.
    """
    ours = search(
        search__method="beta-darts", search__epochs=epochs, space__space=space, space__nodes=nodes
    )
    if space == "darts":
        theirs = Reference(ours)
    else:
        theirs = Reference(ours, Official201(channels=4, each=1, classes=CLASSES), mix_201)

    def step(epoch, number):
        factor = 50 * (epoch - 1) / epochs
        first_order(theirs, epoch, number, lambda alphas: factor * logsumexp_mean(alphas))

    found = walk(ours, theirs, step=step)
    assert max(found.values()) < CLOSE, found


def test_r_darts_dp(monkeypatch):
    """p e / (E - 1): a mask for each image and edge, skips among them, and 1 / keep."""
    ours = search(search__method="r-darts-dp", method__edge_drop_path=0.6)
    theirs = Reference(ours)
    chance = theirs.network.chance
    kept = []

    with recorded_draws(monkeypatch) as drawn:

        def step(epoch, number):
            chance.keep = 1 - 0.6 * (epoch - 1) / (4 - 1)
            assert all(keep == pytest.approx(chance.keep) for keep, _ in drawn["masks"])
            assert all(mask.shape == (4, 1, 1, 1) for _, mask in drawn["masks"])
            chance.masks.extend(mask for _, mask in drawn["masks"])
            kept.extend(drawn["masks"])
            drawn["masks"].clear()
            first_order(theirs, epoch, number)
            assert not chance.masks

        found = walk(ours, theirs, step=step)
    assert max(found.values()) < CLOSE, found
    # Two passes of two steps through three cells of five edges; in epoch 1 nothing is dropped.
    assert len(kept) == 2 * 2 * 3 * 5
