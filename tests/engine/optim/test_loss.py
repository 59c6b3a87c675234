"""Label smoothing against targets written out by hand, both ways."""

import pytest
import torch
from torch.nn import functional

from darts_engine.optim.loss import (
    cross_entropy,
    smoothed_cross_entropy,
    smoothed_divergence,
    target_entropy,
)

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0], [0.0, 1.0, -3.0, 2.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 3])
EPS = 0.1


def by_hand(true_share, other_share):
    targets = torch.full((2, 4), other_share, dtype=torch.float64)
    targets[torch.arange(2), LABELS] = true_share
    return -(targets * LOGITS.log_softmax(1)).sum(1).mean()


def test_uniform_gives_every_class_its_share_and_the_true_one_the_rest_on_top():
    loss = smoothed_cross_entropy(LOGITS, LABELS, EPS, "uniform")
    assert loss == pytest.approx(by_hand(1 - EPS + EPS / 4, EPS / 4).item(), rel=1e-12)
    assert loss == functional.cross_entropy(LOGITS, LABELS, label_smoothing=EPS)


def test_others_leaves_the_true_class_exactly_one_minus_eps():
    loss = smoothed_cross_entropy(LOGITS, LABELS, EPS, "others")
    assert loss == pytest.approx(by_hand(1 - EPS, EPS / 3).item(), rel=1e-12)


@pytest.mark.parametrize("kind", ["uniform", "others"])
def test_without_smoothing_it_is_the_plain_cross_entropy_to_the_bit(kind):
    logits = LOGITS.float()
    assert smoothed_cross_entropy(logits, LABELS, 0.0, kind) == cross_entropy(logits, LABELS)


@pytest.mark.parametrize("classes", [1, 2])
def test_the_most_smoothing_there_is_works_for_few_classes(classes):
    logits = torch.zeros(3, classes)
    labels = torch.zeros(3, dtype=torch.long)
    loss = smoothed_cross_entropy(logits, labels, 0.5, "others")
    assert loss == pytest.approx(torch.tensor(float(classes)).log().item(), abs=1e-6)


def test_the_entropy_of_a_target_is_exact_also_at_the_ends():
    for classes in (1, 2, 4):
        assert target_entropy(0.0, "others", classes) == 0
    assert target_entropy(0.3, "uniform", 1) == target_entropy(0.3, "others", 1) == 0
    assert target_entropy(0.5, "others", 2) == pytest.approx(torch.tensor(2.0).log().item())
    parts = torch.tensor([1 - EPS + EPS / 4, EPS / 4, EPS / 4, EPS / 4], dtype=torch.float64)
    by_parts = -(parts * parts.log()).sum().item()
    assert target_entropy(EPS, "uniform", 4) == pytest.approx(by_parts, rel=1e-12)
    plain = smoothed_divergence(LOGITS, LABELS, 0.0, "others")
    assert plain == cross_entropy(LOGITS, LABELS)


def test_half_precision_logits_are_summed_in_float32():
    loss = smoothed_cross_entropy(LOGITS.bfloat16(), LABELS, EPS, "others")
    assert loss.dtype == torch.float32
