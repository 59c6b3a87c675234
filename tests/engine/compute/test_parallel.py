"""Two processes do what one does with the combined batch, and are one another's copies."""

import pytest
import torch
from engine_kit import NOISY
from parallel_kit import (
    on_ranks,
    save_in_mid_epoch,
    search_epoch,
    settle_with_a_nan_on_rank_1,
    train_epoch,
)

from darts_engine.compute.parallel import WHOLE, World

ORDERS = {
    "first order": {"search.order": 1},
    "finite difference": {"search.order": 2, "search.hvp_radius": 1e-4},
    "exact": {"search.order": 2, "search.hvp": "exact"},
}


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    apart = [(one[name].double() - other[name].double()).abs().max().item() for name in one]
    return max(apart, default=0.0)


def are_copies(one, other):
    return all(
        farthest(one[part], other[part]) == 0.0 for part in one if isinstance(one[part], dict)
    ) and (one["figures"] == other["figures"])


def quick(quick_one: str) -> list[object]:
    """One order for the quick part of the tests, the others for the slow one."""
    return [
        order if order == quick_one else pytest.param(order, marks=pytest.mark.slow)
        for order in ORDERS
    ]


@pytest.mark.parametrize("order", quick("first order"))
def test_synchronised_ranks_search_as_one_process_does(order):
    changes = ORDERS[order] | {"engine.sync_bn": True}
    alone = search_epoch(changes)
    first, second = on_ranks(search_epoch, changes)
    assert are_copies(first, second)
    assert first["images"] == alone["images"] == [8, 8, 5]
    assert farthest(first["network"], alone["network"]) < 1e-9
    assert first["figures"] == pytest.approx(alone["figures"], abs=2e-6)


@pytest.mark.parametrize("order", quick("first order"))
def test_with_batch_norm_per_rank_they_do_what_one_does_that_normalises_by_shards(order):
    # Of the 3 images of a last batch, each rank takes all: 1 is too few for a batch norm.
    count = 35 if order == "first order" else 41
    alone = search_epoch(ORDERS[order], count, halved=True)
    first, second = on_ranks(search_epoch, ORDERS[order], count)
    assert are_copies(first, second)
    assert first["figures"][0] == pytest.approx(alone["figures"][0], abs=2e-6)
    counted = ("running_mean", "running_var", "num_batches_tracked")
    weights = {n: t for n, t in first["network"].items() if not n.endswith(counted)}
    assert farthest(weights, {n: alone["network"][n] for n in weights}) < 1e-9
    whole = search_epoch(ORDERS[order], count)
    assert farthest(first["alphas"], whole["alphas"]) > 1e-6, "the two are not told apart"


def test_a_training_of_two_equals_that_of_one_in_every_extra():
    changes = {
        "engine.sync_bn": True,
        "network.drop_path": 0.3,
        "train.label_smoothing": 0.1,
        "weights.sam_rho": 0.05,
        "weights.ema": 0.9,
        "weights.grad_clip": 0.5,
        "network.genotype": NOISY,
    }
    alone = train_epoch(changes)
    first, second = on_ranks(train_epoch, changes)
    assert are_copies(first, second)
    assert farthest(first["network"], alone["network"]) < 1e-9
    assert farthest(first["average"], alone["average"]) < 1e-9
    assert first["figures"] == pytest.approx(alone["figures"], abs=2e-6)


@pytest.mark.parametrize("kind", ["search", "train"])
def test_ranks_end_with_the_same_bits_whether_they_were_saved_and_taken_up_or_not(kind):
    for undisturbed, saved, resumed in on_ranks(save_in_mid_epoch, kind):
        for name, value in undisturbed.items():
            assert torch.equal(saved[name], value), name
            assert torch.equal(resumed[name], value), name


def test_a_batch_is_shared_by_images_and_one_too_small_is_everyones():
    shards = [World(rank, 3).shard(10) for rank in range(3)]
    assert [list(range(10))[s.mine] for s in shards] == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert sum(s.share for s in shards) == pytest.approx(1)
    tiny = [World(rank, 3).shard(5) for rank in range(3)]
    assert [(s.mine, s.counts) for s in tiny] == [(slice(None), r == 0) for r in range(3)]
    assert World().shard(7) is WHOLE


def test_a_loss_that_is_no_number_on_one_rank_stops_all_with_the_same_words():
    first, second = on_ranks(settle_with_a_nan_on_rank_1)
    assert first == second
    assert "epoch 2, step 3" in first
