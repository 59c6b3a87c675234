"""What is random inside the edges does not depend on how many processes share a batch."""

import pytest
import torch

from darts_engine.compute import streams
from darts_engine.compute.parallel import Shard
from darts_engine.data import dataset as datasets
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.search.task import Search
from darts_engine.supernet.stochastic import StochasticOps

IMAGES = 7


def stochastic_ops(shards: tuple[Shard, ...] = ()) -> StochasticOps:
    stochastic = StochasticOps()
    stochastic.drop_path, stochastic.skip_dropout = 0.3, 0.4
    stochastic.draws = streams.generator(3, "test")
    stochastic.shards = shards
    return stochastic


@pytest.mark.parametrize(
    "draw", [StochasticOps.drop_paths, StochasticOps.drop_skips, StochasticOps.noise]
)
def test_a_rank_draws_its_part_of_the_whole_batchs_numbers(draw):
    x = torch.ones(IMAGES, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    whole = draw(stochastic_ops(), x)
    for rank in range(2):
        shard = Shard(slice(rank, None, 2), whole=IMAGES)
        # The alpha half's last batch may be of another size.
        other = Shard(slice(rank, None, 2), whole=30)
        assert torch.equal(draw(stochastic_ops((other, shard)), x[shard.mine]), whole[shard.mine])


def test_a_batch_that_is_no_shard_is_drawn_for_itself():
    x = torch.ones(5, 2, 3, 3)
    shard = Shard(slice(0, None, 2), whole=IMAGES)
    assert torch.equal(stochastic_ops((shard,)).noise(x), stochastic_ops().noise(x))


def test_paths_are_dropped_by_image_and_skips_by_entry_and_the_mean_stays():
    x = torch.ones(4000, 2, 2, 2)
    paths = stochastic_ops().drop_paths(x)
    assert paths.mean() == pytest.approx(1.0, abs=0.05)
    assert all(len(image.unique()) == 1 for image in paths[:50])
    skips = stochastic_ops().drop_skips(x)
    assert skips.mean() == pytest.approx(1.0, abs=0.05)
    assert sorted(skips.unique().tolist()) == pytest.approx([0.0, 1 / 0.6])


def test_cutout_grows_with_drop_path_in_r_darts_dp():
    asked = {"search.method": "r-darts-dp", "data.cutout": 8, "data.crop_padding": 0,
             "space.channels": 2, "space.layers": 3, "space.nodes": 1, "search.epochs": 3,
             "engine.device": "cpu"}  # fmt: skip
    config = configs.override(SearchConfig(), asked)
    assert isinstance(config, SearchConfig)
    search = Search(config, datasets.load("digits", 0), torch.device("cpu"))
    plain = configs.override(config, {"data.cutout": 0})
    assert isinstance(plain, SearchConfig)
    uncut = Search(plain, datasets.load("digits", 0), torch.device("cpu"))
    shares = []
    for epoch in (1, 2, 3):
        values = search.begin_epoch(epoch)
        assert values["cutout"] == pytest.approx((epoch - 1) / 2)
        assert values["drop_path"] == pytest.approx(0.2 * (epoch - 1) / 2)
        cut = whole = 0
        for step in range(1, 11):
            is_cut = (
                search.halves.weight_batch(epoch, step)[0]
                != uncut.halves.weight_batch(epoch, step)[0]
            )
            cut += int(is_cut.flatten(1).any(1).sum())
            whole += len(is_cut)
        shares.append(cut / whole)
    assert shares == pytest.approx([0.0, 0.5, 1.0], abs=0.08)
