"""Weights of trained networks from elsewhere: the official layout, held to plain modules."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from darts_engine.networks import official_state
from darts_engine.networks.derived import Network
from darts_engine.networks.wide_resnet import WideResNet
from darts_engine.run.architecture import text as genotypes
from darts_engine.run.architecture.networks import WideShape
from darts_engine.run.errors import CheckpointError

GENOTYPE = genotypes.parse(
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_5x5', 1), "
    "('max_pool_3x3', 2)], normal_concat=[2, 3], reduce=[('conv_7x1_1x7', 0), "
    "('skip_connect', 1), ('sep_conv_5x5', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3])"
)
C = 4


def lived(seed=1, **kwargs):
    """A derived network whose running statistics have seen batches."""
    settings = {"channels": C, "layers": 3, "classes": 5, "seed": seed} | kwargs
    network = Network(GENOTYPE, **settings).double()
    for _ in range(2):
        network(torch.randn(4, 3, 16, 16, dtype=torch.float64))
    return network


def conv(inputs, outputs, kernel, stride=1, padding=0, groups=1, dilation=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)


def separable(kernel, stride, width):
    half = [
        (nn.ReLU(), conv(width, width, kernel, s, kernel // 2, width), conv(width, width, 1),
         nn.BatchNorm2d(width))
        for s in (stride, 1)
    ]  # fmt: skip
    return nn.ModuleDict({"op": nn.Sequential(*half[0], *half[1])})


def dilated(width):
    return nn.ModuleDict({"op": nn.Sequential(
        nn.ReLU(), conv(width, width, 5, 1, 4, width, 2), conv(width, width, 1),
        nn.BatchNorm2d(width),
    )})  # fmt: skip


def tall_and_wide(width):
    return nn.Sequential(
        nn.ReLU(), conv(width, width, (1, 7), (1, 2), (0, 3)),
        conv(width, width, (7, 1), (2, 1), (3, 0)), nn.BatchNorm2d(width),
    )  # fmt: skip


def preprocess(inputs):
    return nn.ModuleDict({"op": nn.Sequential(nn.ReLU(), conv(inputs, C, 1), nn.BatchNorm2d(C))})


def run(module, x):
    return module["op"](x) if isinstance(module, nn.ModuleDict) else module(x)


# (our module, its official prefix, a plain module with the official names inside, channels in)
PLAIN = {
    "preprocess": ("cells.0.preprocess1", preprocess(3 * C), 3 * C),
    "separable": ("cells.0.operations.0", separable(3, 1, C), C),
    "dilated": ("cells.0.operations.2", dilated(C), C),
    "tall and wide": ("cells.1.operations.0", tall_and_wide(2 * C), 2 * C),
    "separable in a reduction": ("cells.1.operations.2", separable(5, 1, 2 * C), 2 * C),
    "stem": ("stem", nn.Sequential(conv(3, 3 * C, 3, 1, 1), nn.BatchNorm2d(3 * C)), 3),
    "classifier": ("classifier", nn.Linear(2 * 4 * C, 5), 0),
}


def beneath(state, prefix):
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_modules_compute_the_same_with_weights_of_the_official_names(name):
    ours, plain, channels = PLAIN[name]
    network = lived().eval()
    state = official_state.export(network)
    prefix = ours.replace(".operations.", "._ops.") + "."
    plain.double().eval()
    missing, unexpected = plain.load_state_dict(beneath(state, prefix), strict=False)
    assert all(key.endswith("num_batches_tracked") for key in missing)
    assert not unexpected
    shape = (2, channels, 8, 8) if channels else (2, 2 * 4 * C)
    x = torch.randn(*shape, dtype=torch.float64)
    rectified = x.relu() if name == "preprocess" else x
    assert torch.allclose(network.get_submodule(ours)(rectified), run(plain, x), atol=1e-12)


def test_a_factorized_skip_has_its_two_convolutions_in_the_official_order():
    network = lived().eval()
    parts = beneath(official_state.export(network), "cells.1._ops.1.")
    x = torch.randn(2, 2 * C, 8, 8, dtype=torch.float64)
    active = x.relu()
    halves = [
        functional.conv2d(active, parts["conv_1.weight"], stride=2),
        functional.conv2d(active[:, :, 1:, 1:], parts["conv_2.weight"], stride=2),
    ]
    expected = functional.batch_norm(
        torch.cat(halves, 1), parts["bn.running_mean"], parts["bn.running_var"],
        parts["bn.weight"], parts["bn.bias"],
    )  # fmt: skip
    assert torch.allclose(network.cells[1].operations[1](x), expected, atol=1e-12)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_the_auxiliary_head_and_the_stems_have_their_official_places(stem):
    size = {"cifar": 32, "imagenet": 64}[stem]
    network = Network(GENOTYPE, channels=C, layers=3, classes=5, stem=stem).double()
    state = official_state.export(network)
    stride, norm = (3, [nn.BatchNorm2d(768)]) if stem == "cifar" else (2, [])
    plain = nn.Sequential(
        nn.ReLU(), nn.AvgPool2d(5, stride, count_include_pad=False), conv(8 * 2 * C // 2, 128, 1),
        nn.BatchNorm2d(128), nn.ReLU(), conv(128, 768, 2), *norm, nn.ReLU(),
    )  # fmt: skip
    plain.double().load_state_dict(beneath(state, "auxiliary_head.features."), strict=False)
    side = 8 if stem == "cifar" else 7
    x = torch.randn(3, network.auxiliary.reduce.in_channels, side, side, dtype=torch.float64)
    features = plain(x).flatten(1)
    classifier = beneath(state, "auxiliary_head.classifier.")
    expected = functional.linear(features, classifier["weight"], classifier["bias"])
    assert torch.allclose(network.auxiliary(x), expected, atol=1e-12)
    stems = {key.rpartition(".")[0] for key in state if key.startswith("stem")}
    assert (
        stems
        == {
            "cifar": {"stem.0", "stem.1"},
            "imagenet": {"stem0.0", "stem0.1", "stem0.3", "stem0.4", "stem1.1", "stem1.2"},
        }[stem]
    )
    assert network(torch.randn(2, 3, size, size, dtype=torch.float64))[0].shape == (2, 5)


def wide(seed):
    return WideResNet(WideShape(10, 1), classes=5, seed=seed).double()


CELLS = ["DARTS_V2", "NASNet", "AmoebaNet", "FairDARTS_a"]


@pytest.mark.parametrize("name", [*CELLS, "wide"])
def test_cells_of_any_shape_make_the_round_trip(name, tmp_path):
    def build(seed):
        if name == "wide":
            return wide(seed)
        genotype = genotypes.published()[name].genotype
        return Network(genotype, channels=C, layers=3, seed=seed)

    source, target = build(1), build(2)
    state = official_state.export(source)
    file = tmp_path / "weights.pt"
    wrapped = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, file)
    official_state.load_file(target, file)
    loaded = target.state_dict()
    for key, value in source.state_dict().items():
        assert torch.equal(value, loaded[key]), key
    weights = sum(v.numel() for k, v in state.items() if "running" not in k)
    assert weights == sum(p.numel() for p in source.parameters())


def test_a_head_that_the_network_lacks_is_left_out_and_one_that_the_file_lacks_is_named():
    with_head, without = lived(1), lived(2, auxiliary=False)
    official_state.load(without, official_state.export(with_head))
    assert torch.equal(without.classifier.weight, with_head.classifier.weight)
    with pytest.raises(CheckpointError) as refusal:
        official_state.load(with_head, official_state.export(without))
    assert "--no-auxiliary" in refusal.value.remedy


SEPARABLE = "cells.0._ops.0.op.5.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop(SEPARABLE), SEPARABLE),
        (lambda s: s.update({SEPARABLE: torch.zeros(4, 1, 5, 5)}), SEPARABLE),
        (lambda s: s.update({"cells.9.extra": torch.zeros(1)}), "cells.9.extra"),
        (lambda s: s.update({SEPARABLE: "text"}), SEPARABLE),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(change, named):
    network = lived()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = official_state.export(lived(2))
    change(state)
    with pytest.raises(CheckpointError) as refusal:
        official_state.load(network, state, where="theirs.pt")
    assert refusal.value.where == f"theirs.pt: {named}"
    assert str(refusal.value).count("\n") == 2
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


class Hostile:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("content", ["hostile", "noise", "empty", "list", "nothing"])
def test_a_file_of_anything_else_is_refused_unexecuted(content, tmp_path, capfd):
    file = tmp_path / "weights.pt"
    if content in ("hostile", "list"):
        torch.save(Hostile() if content == "hostile" else [torch.zeros(2)], file)
    elif content != "nothing":
        file.write_bytes(b"" if content == "empty" else b"noise" * 99)
    with pytest.raises(CheckpointError) as refusal:
        official_state.load_file(lived(), file)
    assert refusal.value.where == str(file)
    assert "weights_only" not in str(refusal.value)
    assert "must not run" not in "".join(capfd.readouterr())
