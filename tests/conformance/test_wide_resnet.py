"""The recipe `wrn-sam-cifar100` against a plain reading of its source, in float64.

Its source is the CIFAR-100 WRN training log, whose program is the example of davda54/sam (commit
2f3dda7). The reading here knows a state dictionary and torch's functions only.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from darts_engine.data.dataset import Dataset, Part
from darts_engine.networks.wide_resnet import WideResNet
from darts_engine.optim.loss import smoothed_cross_entropy, smoothed_divergence, target_entropy
from darts_engine.optim.schedules import learning_rate
from darts_engine.run.architecture.networks import parse
from darts_engine.run.settings import config, recipes
from darts_engine.training.task import Train

RECIPE = config.from_plain(recipes.settings("wrn-sam-cifar100", "train"))


@pytest.mark.parametrize("init", ["fan-in", "fan-out"])
def test_convolutions_are_drawn_with_the_variance_of_he_et_al(init):
    network = WideResNet(parse("wrn-10-2"), classes=7, init=init, seed=3)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    drawn = []
    for convolution in convolutions:
        outputs, inputs, height, width = convolution.weight.shape
        fan = (inputs if init == "fan-in" else outputs) * height * width
        unit = convolution.weight.detach().double() * math.sqrt(fan / 2)
        # The standard deviation of the variance of n normal draws is (2 / n)^(1/2).
        assert abs(unit.var().item() - 1) < 5 * math.sqrt(2 / unit.numel())
        drawn.append(unit.flatten())
    together = torch.cat(drawn)
    assert abs(together.mean().item()) < 4 / math.sqrt(len(together))
    assert together.pow(4).mean().item() == pytest.approx(3, abs=0.05), "normal, not uniform"
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight.unique().tolist(), module.bias.unique().tolist()) == ([1], [0])
    assert not network.classifier.bias.any()
    assert bool(network.classifier.weight.any()) == (init == "fan-out")


def test_the_default_draws_what_it_always_drew():
    networks = [WideResNet(parse("wrn-10-1"), seed=3, **how) for how in ({}, {"init": "fan-out"})]
    for ours, theirs in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(ours, theirs)
    assert config.KINDS["train"]().network.init == "fan-out"
    assert RECIPE.network.init == "fan-in"


def norm(state, name, x):
    """Batch norm with the batch's own statistics. Returns: the output, mean and variance."""
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    shape = (1, -1, 1, 1)
    unit = (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
    out = unit * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)
    count = x.numel() / x.shape[1]
    return out, {
        f"{name}.running_mean": mean.detach(),
        f"{name}.running_var": variance.detach() * count / (count - 1),
    }


def forward(state, x):
    """Logits of a WRN-10-1 in training, and the statistics of all its batches."""
    seen = {}

    def active(name, x):
        out, statistics = norm(state, name, x)
        seen.update(statistics)
        return out.relu()

    x = functional.conv2d(x, state["stem.weight"], padding=1)
    for block, stride in enumerate((1, 2, 2)):
        name = f"blocks.{block}"
        inner = active(f"{name}.norm1", x)
        projection = state.get(f"{name}.shortcut.weight")
        short = x if projection is None else functional.conv2d(inner, projection, stride=stride)
        inner = functional.conv2d(inner, state[f"{name}.conv1.weight"], stride=stride, padding=1)
        inner = active(f"{name}.norm2", inner)
        x = short + functional.conv2d(inner, state[f"{name}.conv2.weight"], padding=1)
    pooled = active("norm", x).mean((2, 3))
    return pooled @ state["classifier.weight"].T + state["classifier.bias"], seen


def targets(labels, classes, smoothing=0.1):
    """The recipe's targets: 1 - eps for the true class, eps / (K - 1) for each other."""
    one_hot = functional.one_hot(labels, classes).double()
    return one_hot * (1 - smoothing) + (1 - one_hot) * smoothing / (classes - 1)


def divergence(logits, labels):
    """The quantity that the source minimises and reports."""
    wanted = targets(labels, logits.shape[1])
    return nn.KLDivLoss(reduction="batchmean")(logits.log_softmax(1), wanted)


def small_training():
    """The recipe on a WRN-10-1 in float64, and three batches of four images that it will see."""
    changed = {
        "network.network": "wrn-10-1", "data.batch_size": 4, "data.cutout": 0,
        "data.crop_padding": 0, "engine.threads": 1,
    }  # fmt: skip
    part = Part(torch.zeros(12, 8, 8, 3, dtype=torch.uint8), torch.arange(12) % 5)
    dataset = Dataset("made up", list("abcde"), part, part)
    train = Train(config.override(RECIPE, changed), dataset, torch.device("cpu"))
    train.network.double()
    draws = torch.Generator().manual_seed(4)
    batches = [
        (torch.randn(4, 3, 8, 8, generator=draws, dtype=torch.float64), torch.arange(4) + shift)
        for shift in (0, 1, 1)
    ]
    train._batches.batch = lambda _epoch, step: batches[step - 1]
    return train, batches


def test_steps_of_sharpness_aware_minimisation_are_those_of_the_source():
    train, batches = small_training()
    whole = {name: value.clone() for name, value in train.network.state_dict().items()}
    names = [name for name, _ in train.network.named_parameters()]
    momenta, twice = {}, {}

    def gradients(weights, batch):
        leaves = {name: value.detach().requires_grad_() for name, value in weights.items()}
        logits, seen = forward(leaves, batch[0])
        return torch.autograd.grad(divergence(logits, batch[1]), list(leaves.values())), seen

    for batch in batches:
        weights = {name: whole[name] for name in names}
        first, seen = gradients(weights, batch)
        length = torch.sqrt(sum((gradient**2).sum() for gradient in first))
        moved = {
            name: weights[name] + 0.1 * gradient / (length + 1e-12)
            for name, gradient in zip(names, first, strict=True)
        }
        second, seen_there = gradients(moved, batch)
        for name, value in seen.items():
            # DEVIATION: statistics are of the first pass only; the source's program takes in both.
            whole[name] = 0.9 * whole[name] + 0.1 * value
            twice[name] = 0.9 * whole[name] + 0.1 * seen_there[name]
        for name, gradient in zip(names, second, strict=True):
            decayed = gradient + 5e-4 * weights[name]
            momenta[name] = 0.9 * momenta[name] + decayed if name in momenta else decayed
            whole[name] = weights[name] - 0.1 * momenta[name]

    before = {name: value.clone() for name, value in train.network.state_dict().items()}
    train.begin_epoch(1)
    for step in range(1, len(batches) + 1):
        train.step(1, step)
    state = train.network.state_dict()
    for name, expected in whole.items():
        if name.endswith("num_batches_tracked"):
            continue
        assert torch.allclose(state[name], expected, rtol=1e-10, atol=1e-12), name
        assert not torch.equal(state[name], before[name]), name
    for weight, name in zip(train.network.parameters(), names, strict=True):
        momentum = train._optimizer.state[weight]["momentum_buffer"]
        assert torch.allclose(momentum, momenta[name], rtol=1e-10, atol=1e-12), name
    assert any(not torch.allclose(state[name], value, atol=1e-5) for name, value in twice.items())


def test_the_smoothed_losses_are_those_of_independent_formulas():
    draws = torch.Generator().manual_seed(5)
    logits = 3 * torch.randn(6, 100, generator=draws, dtype=torch.float64)
    labels = torch.tensor([0, 7, 99, 3, 3, 50])
    log_probabilities = logits.log_softmax(1)

    wanted = targets(labels, 100)
    entropy = -(wanted * wanted.log()).sum(1)
    assert target_entropy(0.1, "others", 100) == pytest.approx(entropy[0].item(), rel=1e-12)
    assert round(target_entropy(0.1, "others", 100), 4) == 0.7846 == round(1.2927 - 0.5081, 4)
    crossed = -(wanted * log_probabilities).sum(1).mean()
    ours = smoothed_cross_entropy(logits, labels, 0.1, "others")
    assert ours.item() == pytest.approx(crossed.item(), rel=1e-12)
    ours = smoothed_divergence(logits, labels, 0.1, "others")
    assert ours.item() == pytest.approx(divergence(logits, labels).item(), rel=1e-12)
    assert ours.item() == pytest.approx((crossed - entropy.mean()).item(), rel=1e-12)

    # The other definition: eps / K for every class, and 1 - eps on top for the true one.
    wanted = 0.9 * functional.one_hot(labels, 100).double() + 0.1 / 100
    ours = smoothed_cross_entropy(logits, labels, 0.1, "uniform")
    assert ours.item() == pytest.approx(
        -(wanted * log_probabilities).sum(1).mean().item(), rel=1e-12
    )
    ours = smoothed_divergence(logits, labels, 0.1, "uniform")
    assert ours.item() == pytest.approx(
        nn.KLDivLoss(reduction="batchmean")(log_probabilities, wanted).item(), rel=1e-12
    )
    # A network that answers with the target itself has none.
    assert smoothed_divergence(wanted.log(), labels, 0.1, "uniform").item() == pytest.approx(
        0, abs=1e-12
    )


def test_the_learning_rate_falls_at_the_epochs_of_the_log():
    rates = [learning_rate(RECIPE.weights, epoch, 200) for epoch in range(RECIPE.epochs)]
    starts = {0: 0.1, 40: 0.02, 100: 0.004, 140: 0.0008, 170: 0.00016}
    assert [0] + [e for e in range(1, 200) if rates[e] != rates[e - 1]] == list(starts)
    assert [rates[epoch] for epoch in starts] == pytest.approx(list(starts.values()), rel=1e-12)
