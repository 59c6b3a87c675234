"""The eigenvalue of R-DARTS beside a Hessian of an independent network (arXiv 1909.09656)."""

import pytest
import torch
from tests.conformance.steps_kit import Reference, batch, search
from torch.autograd.functional import hessian as full_hessian

from darts_engine.runner.position import Position
from darts_engine.search.curvature import Curvature, hessian, spectrum

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

AFTER = Position(epoch=1, step=2, global_step=2)


def independent_hessian(theirs, of):
    """The Hessian in the entries of both cells' alphas, the network in training mode."""
    shapes = {name: alpha.shape for name, alpha in theirs.alphas.items()}
    start = torch.cat([alpha.detach().flatten() for alpha in theirs.alphas.values()])

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes.values()])
        alphas = {n: p.view(shapes[n]) for n, p in zip(shapes, parts, strict=True)}
        return theirs.loss(of, theirs.mix(alphas))

    return full_hessian(loss, start)


def official_hessian(theirs, of):
    """The official code's matrix: alpha's weight decay is in the gradient that it differentiates.

    It takes the upper triangle row by row and mirrors it.
    """
    decay = theirs.config.alpha.weight_decay
    alphas = list(theirs.alphas.values())
    gradients = torch.autograd.grad(theirs.loss(of), alphas, create_graph=True)
    flat = torch.cat([(g + decay * a).flatten() for g, a in zip(gradients, alphas, strict=True)])
    rows = [
        torch.cat([r.flatten() for r in torch.autograd.grad(entry, alphas, retain_graph=True)])
        for entry in flat
    ]
    upper = torch.stack(rows).triu()
    return upper + upper.triu(1).T


def test_the_matrix_and_its_largest_eigenvalue():
    """After a step, at the batch of the epoch's last alpha step, with the weights constant."""
    ours = search(search__method="r-darts-es", space__nodes=1, space__channels=2)
    ours.begin_epoch(1)
    ours.step(1, 1)
    theirs = Reference(ours)
    before = ours.state_by_name()
    expected = independent_hessian(theirs, batch("alpha", 1, 2))

    alphas = list(ours.supernet.alphas.parameters())
    with ours.alpha_loss(AFTER) as loss:
        found = hessian(loss, alphas)
        draws = torch.Generator().manual_seed(3)
        dominant = Curvature(loss, alphas).dominant(draws, tolerance=1e-12)
    largest = float(expected.abs().max())
    assert float((found - expected).abs().max()) < 1e-12 * largest
    signed = float(torch.linalg.eigvalsh(expected)[-1])
    assert float(spectrum(found)[-1]) == pytest.approx(signed, rel=1e-12)
    assert dominant == pytest.approx(signed, rel=1e-10)
    # What a run reports: the same, as exactly as Lanczos' method is asked for.
    assert ours._report.eigenvalue(AFTER) == pytest.approx(signed, rel=1e-3)
    after = ours.state_by_name()
    assert all(torch.equal(t, after[part][n]) for part in before for n, t in before[part].items())


def test_the_official_eigenvalue_is_larger_by_alphas_weight_decay():
    """The official Hessian is H + lambda I with alpha's weight decay lambda = 1e-3."""
    ours = search(search__method="r-darts-es", space__nodes=1, space__channels=2)
    theirs = Reference(ours)
    of = batch("alpha", 1, 2)
    assert theirs.config.alpha.weight_decay == 1e-3
    official = official_hessian(theirs, of)
    alphas = list(ours.supernet.alphas.parameters())
    with ours.alpha_loss(AFTER) as loss:
        found = hessian(loss, alphas)
    identity = torch.eye(len(found), dtype=found.dtype)
    largest = float(official.abs().max())
    assert float((official - (found + 1e-3 * identity)).abs().max()) < 1e-12 * largest
    signed = float(torch.linalg.eigvalsh(official)[-1])
    assert signed == pytest.approx(float(spectrum(found)[-1]) + 1e-3, rel=1e-12)
    # `--hessian-decay` reports the official one.
    decaying = search(
        search__method="r-darts-es",
        space__nodes=1,
        space__channels=2,
        method__hessian_decay=True,
    )
    assert decaying._report.eigenvalue(AFTER) == pytest.approx(signed, rel=1e-3, abs=0)
    without = ours._report.eigenvalue(AFTER)
    assert decaying._report.eigenvalue(AFTER) - without == pytest.approx(1e-3, rel=1e-9)
