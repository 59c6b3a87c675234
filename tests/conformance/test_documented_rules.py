"""Rules that differ from official code on purpose, or by an option, as docs/methods.md says.

Each test computes both: what the official code does, and what is done here.
"""

import numpy as np
import pytest
import torch
from tests.conformance.official_cells import CELLS
from tests.conformance.official_one_cell import Official101, mix_101
from tests.conformance.steps_kit import CLASSES, Reference, search, walk
from torch import nn

from darts_engine.data.augment import Augmentation, Draws
from darts_engine.data.dataset import Part
from darts_engine.methods.stopping.rules import RankingRule
from darts_engine.runner.position import Position


def official_hole(centre: tuple[int, int], length: int, side: int) -> np.ndarray:
    """Cutout of github.com/quark0/darts, cnn/utils.py: L // 2 to both sides, cut at the borders."""
    mask = np.ones((side, side))
    rows, columns = (np.clip([c - length // 2, c + length // 2], 0, side) for c in centre)
    mask[rows[0] : rows[1], columns[0] : columns[1]] = 0
    return mask


@pytest.mark.parametrize("length", [4, 5])
def test_a_square_of_cutout_is_as_long_as_asked_and_the_official_one_is_even(length: int):
    """DEVIATION: an odd length is taken at its word; the official square is 2 (L // 2) long."""
    one, side = torch.ones(1), 8
    augment = Augmentation(one, torch.zeros(1), 0, False, length, 1.0)
    centres = [(row, column) for row in range(side) for column in range(side)]
    part = Part(torch.ones(64, side, side, 1, dtype=torch.uint8), torch.zeros(64).long())
    drawn = Draws(None, None, torch.tensor(centres), None)
    ours = augment(part, torch.arange(64), drawn)[:, 0].numpy()
    theirs = np.stack([official_hole(centre, length, side) for centre in centres])
    assert (ours == theirs).all() == (length % 2 == 0)
    middle = centres.index((4, 4))
    assert (ours[middle] == 0).sum() == length**2
    assert (theirs[middle] == 0).sum() == (2 * (length // 2)) ** 2
    # The larger square covers the official one.
    assert (ours <= theirs).all()


@pytest.mark.parametrize("epochs", [100, 25])
def test_beta_decays_factor_ends_below_50_in_a_search_of_any_length(epochs: int):
    """DEVIATION: 50 e / E; github.com/Sunshine-Ye/Beta-DARTS has 50 e / 100 whatever E is."""
    task = search(search__method="beta-darts", search__epochs=epochs, space__channels=2)
    (span,) = [s for s in task.schedules() if s.name == "regulariser"]
    official = [50 * e / 100 for e in range(epochs)]
    assert span.values == pytest.approx([50 * e / epochs for e in range(epochs)])
    assert (span.values == pytest.approx(official)) == (epochs == 100)


def test_the_temperature_in_1shot1_is_that_of_gdas_and_not_of_the_port():
    """DEVIATION: from 10 to 0.1, reached in the last epoch, in every space.

    github.com/automl/nasbench-1shot1, gdas/train_search.py, falls from 10 towards 1, e / E.
    """
    task = search(search__method="gdas", space__space="1shot1-1", space__nodes=4, search__epochs=10)
    (span,) = [s for s in task.schedules() if s.name == "tau"]
    assert span.values == pytest.approx([10 - 9.9 * e / 9 for e in range(10)])
    port = [10 + (1 - 10) / 10 * e for e in range(10)]
    assert port[-1] == pytest.approx(1.9)
    assert span.values[-1] == pytest.approx(0.1)


def test_the_momentum_of_1shot1s_norms_leaves_the_last_one_as_it_is():
    """The official 0.997 is of the convolutions of cells and stem; the last norm has torch's."""
    ours = search(space__space="1shot1-1", space__nodes=4, space__bn_momentum=0.997)
    network = Official101(nodes=4, channels=4, layers=3, classes=CLASSES)
    for name, norm in network.named_modules():
        if isinstance(norm, nn.BatchNorm2d) and not name.startswith("postprocess"):
            norm.momentum = 0.997
    found = walk(ours, Reference(ours, network, mix_101))
    assert max(found.values()) < 1e-12, found


# The stop rules of a real search ----------------------------------------------------------------


def official_end(choices: list[np.ndarray]) -> int | None:
    """DARTS+, criterion 1*: the epoch (from 1) after ten without a change of any edge's choice."""
    for epoch in range(10, len(choices)):
        last = choices[epoch - 10 : epoch + 1]
        if all((one == last[0]).all() for one in last):
            return epoch + 1
    return None


def test_the_ranking_rule_looks_at_what_can_be_derived_and_not_at_none():
    """`none` is often ahead, and overtakes in any epoch; only other choices count."""
    task = search(method__stop="ranking", space__channels=2, space__nodes=1)
    old = search(
        method__stop="ranking", method__ranking_counts_none=True, space__channels=2, space__nodes=1
    )
    ends, counted = [], 0
    for seed in range(40):
        draws = np.random.default_rng(seed)
        best, choices, rules = draws.integers(1, 8, 4), [], (RankingRule(), RankingRule())
        found: list[int | None] = [None, None]
        for epoch in range(1, 31):
            if draws.random() < 0.1:
                best[draws.integers(4)] = draws.integers(1, 8)
            alpha = draws.uniform(-1, 0, (4, 8))
            alpha[range(4), best] = 1
            alpha[:, 0] = draws.choice([-1, 2], 4)
            choices.append(1 + alpha[:, 1:].argmax(1))
            position = Position(epoch=epoch, step=1, global_step=epoch)
            for which, (one, rule) in enumerate(zip((task, old), rules, strict=True)):
                with torch.no_grad():
                    for cell, rows in zip(CELLS, np.split(alpha, 2), strict=True):
                        getattr(one.supernet.alphas, cell).copy_(torch.from_numpy(rows))
                verdict = rule.check(one._report.evidence(position, None))
                if verdict is not None and found[which] is None:
                    found[which] = verdict.epoch
        assert found[0] == official_end(choices)
        ends.append(found[0])
        counted += found[1] is not None
    assert sum(end is not None for end in ends) > 10
    assert counted == 0


def test_none_ahead_of_all_no_longer_ends_a_search_whose_genotype_changes():
    task, ended = search(method__stop="ranking", space__channels=2, space__nodes=1), []
    old = search(
        method__stop="ranking", method__ranking_counts_none=True, space__channels=2, space__nodes=1
    )
    for one in (task, old):
        rule, verdicts = RankingRule(), []
        for epoch in range(1, 31):
            with torch.no_grad():
                for cell in CELLS:
                    alpha = getattr(one.supernet.alphas, cell).zero_()
                    alpha[:, 0], alpha[:, 1 + epoch % 7] = 2.0, 1.0
            position = Position(epoch=epoch, step=1, global_step=epoch)
            verdicts.append(rule.check(one._report.evidence(position, None)))
        ended.append([verdict.epoch for verdict in verdicts if verdict][:1])
    assert ended == [[], [11]]


def test_the_option_adds_alphas_weight_decay_to_the_eigenvalue():
    """As the official Hessian has it; test_curvature_of_alpha.py compares the matrices."""
    position = Position(epoch=1, step=1, global_step=1)
    plain, added = (
        search(
            search__method="r-darts-es", method__hessian_decay=adds,
            space__channels=2, space__nodes=1, alpha__weight_decay=0.25,
        )._report.eigenvalue(position)
        for adds in (False, True)
    )  # fmt: skip
    assert added - plain == pytest.approx(0.25, rel=1e-12)
