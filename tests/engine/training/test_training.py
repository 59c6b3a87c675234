"""What a training's step does, and that it goes on from its state to the bit."""

import pytest
import torch
from engine_kit import NOISY, fingerprint
from torch import nn

from darts_engine.data.dataset import Dataset, Part
from darts_engine.layers.drop_path import Noise
from darts_engine.layers.norm import BatchNorm
from darts_engine.networks import official_state
from darts_engine.optim.average import MovingAverage
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import CheckpointError
from darts_engine.run.settings import config
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.training.task import Train

EVERYTHING = {
    "weights.sam_rho": 0.1, "weights.sam_adaptive": True, "weights.ema": 0.9,
    "weights.nesterov": True, "weights.schedule": "multi-step", "weights.warmup": 0.4,
    "train.label_smoothing": 0.1, "train.smoothing": "others",
}  # fmt: skip
DERIVED = {
    "network.channels": 2, "network.layers": 3, "network.drop_path": 0.5,
    "network.genotype": published()["DARTS_V2"].genotype.text(),
}  # fmt: skip
WITH_NOISE = DERIVED | {"network.genotype": NOISY}
WIDE = {"network.network": "wrn-10-1", "network.dropout": 0.3}
OF_201 = {
    "network.channels": 4, "network.layers": 3,
    "network.genotype": "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|none~2|",
}  # fmt: skip
OF_101 = OF_201 | {
    "network.genotype": '{"matrix":[[0,1,1,1],[0,0,1,1],[0,0,0,1],[0,0,0,0]],'
    '"ops":["input","conv3x3-bn-relu","maxpool3x3","output"]}'
}
NETWORKS = pytest.mark.parametrize(
    "network", [DERIVED, WIDE, OF_201, OF_101], ids=["derived", "wide", "201", "101"]
)
CPU = torch.device("cpu")


def part(count, seed):
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    noise = torch.randint(0, 100, (count, 8, 8, 1), generator=draws)
    return Part((noise + 30 * labels[:, None, None, None]).to(torch.uint8), labels)


def training(*changes, epochs=3):
    asked = {"data.batch_size": 16, "train.epochs": epochs, "engine.threads": 1}
    for change in changes:
        asked |= change
    images = Dataset("made up", list("abcd"), part(48, 1), part(20, 2))
    return Train(config.override(config.KINDS["train"](), asked), images, CPU)


def run(train, first, last):
    """Do the steps from `first` to `last`, counted from 1 over all epochs; their events."""
    reported = []
    for number in range(first, last + 1):
        epoch, step = divmod(number - 1, train.steps_per_epoch)
        if step == 0 or number == first:
            train.begin_epoch(epoch + 1)
        train.step(epoch + 1, step + 1)
        if step + 1 == train.steps_per_epoch:
            position = Position(epoch=epoch + 1, step=step + 1, global_step=number)
            reported += train.finish_epoch(position, Timing())
    return reported


# In an epoch, at its end, and in a later one.
@pytest.mark.parametrize(
    ("network", "killed_after"), [(DERIVED, 2), (WITH_NOISE, 2), (WIDE, 2), (WIDE, 3), (WIDE, 5)]
)
def test_with_everything_on_it_goes_on_from_its_state_to_the_bit(network, killed_after):
    whole, first, second = (training(network, EVERYTHING) for _ in range(3))
    run(whole, 1, 6)
    run(first, 1, killed_after)
    second.load_state(first.state())
    run(second, killed_after + 1, 6)
    assert fingerprint(second.state()) == fingerprint(whole.state())


def test_noise_is_new_in_every_step_and_image_and_one_map_for_all_in_use():
    train = training(WITH_NOISE)
    noise = next(m for m in train.network.modules() if isinstance(m, Noise))
    seen = []
    noise.register_forward_hook(lambda _, inputs, out: seen.append(out.detach().clone()))
    run(train, 1, 2)
    first, second = seen[:2]
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert first.std().item() == pytest.approx(1, abs=0.1)
    images = train._augment.plain(train._test.images)
    train.network.eval()
    together, alone = train.network(images)[0], train.network(images[3:4])[0]
    assert torch.allclose(together[3:4], alone, atol=1e-5)


@NETWORKS
def test_the_second_pass_leaves_batch_norm_with_the_statistics_of_the_first(network):
    plain, sharp = training(network), training(network, {"weights.sam_rho": 0.5})
    for train in (plain, sharp):
        run(train, 1, 1)
    norms = [m for m in sharp.network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert any(isinstance(norm, BatchNorm) for norm in norms)
    for name, buffer in plain.network.named_buffers():
        assert torch.equal(buffer, sharp.network.get_buffer(name)), name
    weights = zip(plain.network.parameters(), sharp.network.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in weights)


def test_the_sharpness_gap_is_reported_and_grows_with_rho():
    gaps = [
        run(training(WIDE, {"weights.sam_rho": rho, "weights.lr": 0.001}), 1, 3)[0].sharpness_gap
        for rho in (0.02, 0.2)
    ]
    assert 0 < gaps[0] < gaps[1]
    assert run(training(WIDE), 1, 3)[0].sharpness_gap is None


def test_the_reported_loss_is_that_at_the_weights_and_of_smoothed_labels():
    smoothing = {"train.label_smoothing": 0.2, "weights.sam_rho": 1.0}
    still = {"weights.lr": 1e-12, "weights.lr_min": 0.0, "network.drop_path": 0.0}
    reported, plain = (run(training(DERIVED, still, more), 1, 3)[1] for more in (smoothing, {}))
    assert reported.train_loss != plain.train_loss
    assert reported.valid_loss == pytest.approx(plain.valid_loss, abs=1e-5), (
        "validation is not smoothed"
    )
    assert reported.train_top1 == plain.train_top1


def test_with_smoothed_labels_validation_has_the_divergence_from_them_and_the_end_the_best_one():
    smoothing = {"train.label_smoothing": 0.2, "train.smoothing": "others", "weights.lr": 0.01}
    train, plain = training(WIDE, smoothing), training(WIDE, {"weights.lr": 0.01})
    first = run(train, 1, 3)[1]
    logits = train.network.eval()(train._augment.plain(train._test.images))[0]
    labels = nn.functional.one_hot(train._test.labels, 4)
    targets = 0.8 * labels + 0.2 / 3 * (1 - labels)
    expected = nn.KLDivLoss(reduction="batchmean")(logits.log_softmax(1), targets)
    assert first.valid_divergence == pytest.approx(expected.item(), abs=1e-5)
    loss = nn.functional.cross_entropy(logits, train._test.labels).item()
    assert first.valid_loss == pytest.approx(loss, abs=1e-5), "the plain loss stays beside it"

    resumed = training(WIDE, smoothing)
    resumed.load_state(train.state())
    last = run(resumed, 4, 6)[1]
    ended = resumed.finish(1.0)
    assert ended.valid_divergence == last.valid_divergence
    assert ended.best_divergence == (last if last.is_best else first).valid_divergence
    assert run(plain, 1, 3)[1].valid_divergence is None
    assert plain.finish(1.0).best_divergence is None
    # A checkpoint of an older version has no divergence.
    old = {key: value for key, value in train.state().items() if key != "divergence"}
    resumed.load_state(old)
    assert resumed.finish(1.0).best_divergence is None


def test_validation_and_the_state_use_the_averaged_weights():
    averaged, plain = training(WIDE, {"weights.ema": 0.99}), training(WIDE)
    for train in (averaged, plain):
        figures = run(train, 1, 3)[1]
        network = train.network if train is plain else train._average.network
        logits = network.eval()(train._augment.plain(train._test.images))[0]
        loss = nn.functional.cross_entropy(logits, train._test.labels)
        assert figures.valid_loss == pytest.approx(loss.item(), abs=1e-5)
    assert fingerprint(averaged.state()["network"]) == fingerprint(plain.state()["network"])
    assert set(averaged.state()["average"]) == set(averaged.state()["network"])


def test_an_average_follows_by_the_formula_and_copies_statistics():
    source = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    nn.init.constant_(source[0].weight, 1.0)
    average = MovingAverage(source, 0.5)
    nn.init.constant_(source[0].weight, 3.0)
    source[1].running_mean.fill_(7.0)
    average.update(source, 1)
    # Early on the decay is 2 / 11, later what was asked for.
    assert average.network[0].weight.item() == pytest.approx(1 * 2 / 11 + 3 * 9 / 11)
    before = average.network[0].weight.item()
    average.update(source, 1000)
    assert average.network[0].weight.item() == pytest.approx((before + 3) / 2)
    assert average.network[1].running_mean.item() == 7.0
    assert not average.network.training


def test_warm_up_shows_in_the_reported_schedule():
    schedules = {s.name: s.values for s in training(DERIVED, {"weights.warmup": 0.5}, epochs=4)
                 .describe()["schedules"]}  # fmt: skip
    assert schedules["lr_weights"][0] < schedules["lr_weights"][1]
    assert set(schedules) == {"lr_weights", "drop_path"}
    wide = training(WIDE).describe()
    assert [s.name for s in wide["schedules"]] == ["lr_weights"]
    assert wide["genotype"] is None


def test_a_wide_network_is_no_other_run_s():
    assert training(WIDE).identity()["network"] == "wrn-10-1"
    assert training(DERIVED).identity()["network"] == "cifar C=2 L=3"


def test_weights_from_elsewhere_are_taken_over_once_at_the_very_start(tmp_path):
    source, file = training(DERIVED), tmp_path / "theirs.pt"
    run(source, 1, 2)
    torch.save(official_state.export(source.network), file)
    train = training(DERIVED, {"network.weights": str(file), "weights.ema": 0.5})
    data, reported = train.opening(Position())
    assert data.message == "4 classes (a, b, c, d), 48 training, 20 test images"
    assert str(file) in reported.message
    for network in (train.network, train._average.network):
        state = official_state.export(network)
        assert all(torch.equal(v, state[k]) for k, v in torch.load(file).items())
    file.unlink()
    assert train.opening(Position(epoch=1, step=1, global_step=1)) == [data]
    with pytest.raises(CheckpointError, match="theirs"):
        train.opening(Position())


@NETWORKS
def test_both_passes_drop_the_same_so_that_a_tiny_rho_changes_next_to_nothing(network):
    still = {"network.dropout": 0.5} if network is WIDE else {"network.drop_path": 0.9}
    plain, sharp = (
        training(network, still, {"train.epochs": 2, "weights.sam_rho": rho}) for rho in (0.0, 1e-7)
    )
    for train in (plain, sharp):
        # Drop path is zero in the first epoch.
        train.begin_epoch(2)
        train.step(2, 1)
    for ours, theirs in zip(sharp.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


@NETWORKS
def test_half_precision_leaves_weights_averages_and_losses_in_float32(network):
    train = training(network, EVERYTHING, {"engine.amp": True})
    finished = run(train, 1, 3)[1]
    assert finished.valid_loss is not None
    for state in (train.network, train._average.network):
        assert {value.dtype for value in state.parameters()} == {torch.float32}


def test_optimisation_may_be_switched_on_between_two_engines():
    first, second = training(WIDE), training(WIDE, EVERYTHING)
    run(first, 1, 2)
    second.load_state(first.state())
    state = second.state()
    assert fingerprint(state["average"]) == fingerprint(state["network"])
    run(second, 3, 4)
    assert fingerprint(second.state()["average"]) != fingerprint(second.state()["network"])
