"""Wide ResNets against the published counts and their definition."""

import pytest
import torch
from torch import nn

from darts_engine.networks.wide_resnet import Dropout, WideResNet
from darts_engine.run.architecture.networks import WideShape, is_wide, parse
from darts_engine.run.architecture.size import wide_resnet_size
from darts_engine.run.errors import ConfigError

COUNTS = {
    ("wrn-34-10", 100): 46_218_164,
    ("wrn-34-10", 10): 46_160_474,
    ("wrn-28-10", 100): 36_536_884,
}


@pytest.mark.parametrize(("name", "classes"), COUNTS)
def test_published_counts_come_out_exactly(name, classes):
    shape = parse(name)
    with torch.device("meta"):
        network = WideResNet(shape, classes=classes)
    assert sum(p.numel() for p in network.parameters()) == COUNTS[name, classes]
    assert wide_resnet_size(shape, classes).parameters == COUNTS[name, classes]


@pytest.mark.parametrize("name", ["wrn-10-1", "wrn-16-2", "wrn-22-1"])
def test_parameters_and_multiply_adds_are_those_that_are_computed(name):
    network, counted = WideResNet(parse(name), in_channels=1, classes=7), []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(
                lambda m, _i, out: counted.append(m.weight.numel() * out[0, 0].numel())
            )
    logits, auxiliary = network(torch.randn(2, 1, 12, 12))
    assert (logits.shape, auxiliary) == ((2, 7), None)
    size = wide_resnet_size(parse(name), 7, 12, image_channels=1)
    assert size.multiply_adds == sum(counted)
    assert size.parameters == sum(p.numel() for p in network.parameters())


def test_depth_counts_the_convolutions_in_a_row():
    network = WideResNet(WideShape(16, 1))
    in_a_row = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and "shortcut" not in name
    ]
    # The classifier, and by custom the three groups' shortcuts, make up the rest of d = 6 n + 4.
    assert len(in_a_row) + 3 == 16
    assert sum(block.shortcut is not None for block in network.blocks) == 2, "16 channels stay 16"


def test_weights_are_drawn_as_he_et_al_say():
    network = WideResNet(parse("wrn-10-4"), seed=3)
    weight = network.blocks[2].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert torch.equal(weight, WideResNet(parse("wrn-10-4"), seed=3).blocks[2].conv2.weight)


def test_dropout_keeps_the_mean_and_repeats_its_draws():
    dropout = Dropout(0.3)
    outs = []
    for _ in range(2):
        dropout.draws = torch.Generator().manual_seed(5)
        outs.append(dropout(torch.ones(20_000)))
    assert torch.equal(*outs)
    assert outs[0].unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert outs[0].mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(dropout.eval()(torch.ones(3)), torch.ones(3))


@pytest.mark.parametrize("name", ["wrn-4-1", "wrn-11-1", "wrn-10-0", "wrn-10", "wrn-10-1-1", "vgg"])
def test_what_is_no_network_is_refused_with_a_remedy(name):
    with pytest.raises(ConfigError) as refusal:
        parse(name)
    assert "wrn" in refusal.value.remedy or "6 n + 4" in refusal.value.remedy
    assert is_wide(name) == name.startswith("wrn")
