"""The derived network against the published counts, and drop path against its definition."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from darts_engine.layers.drop_path import DropPath
from darts_engine.networks.derived import Network
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.run.architecture import text as genotypes
from darts_engine.run.architecture.genotype import RECURRENT
from darts_engine.run.architecture.size import network_size
from darts_engine.run.errors import GenotypeError

TABLE = json.loads((Path(__file__).parents[2] / "conformance/genotypes.json").read_text())
VARIANTS = {
    "cifar10_C36_L20": {"auxiliary": False},
    "cifar10_C36_L20_with_auxiliary": {},
    "cifar100_C36_L20": {"auxiliary": False, "classes": 100},
    "imagenet_C48_L14": {"stem": "imagenet", "channels": 48, "layers": 14, "classes": 1000},
}
VARIANTS |= {
    "penn_850": {"vocabulary": 10_000, "width": 850},
    "wikitext2_700": {"vocabulary": 33_278, "width": 700},
    "search_300": {"vocabulary": 10_000, "width": 300},
}
VARIANTS["imagenet_C48_L14_with_auxiliary"] = VARIANTS["imagenet_C48_L14"]
VARIANTS["imagenet_C48_L14"] = {**VARIANTS["imagenet_C48_L14"], "auxiliary": False}


@pytest.mark.parametrize(
    "name",
    [
        name if name == "DARTS_V2" else pytest.param(name, marks=pytest.mark.slow)
        for name in TABLE["genotypes"]
    ],
)
def test_every_published_cell_has_its_published_number_of_parameters(name):
    entry = TABLE["genotypes"][name]
    genotype = genotypes.from_json(entry)
    for variant, count in entry["parameters"].items():
        with torch.device("meta"):
            if genotype.form == RECURRENT:
                network = RecurrentNetwork(genotype, **VARIANTS[variant])
            else:
                network = Network(genotype, **VARIANTS[variant])
        assert sum(p.numel() for p in network.parameters()) == count, variant


def darts_v2(**kwargs):
    return Network(genotypes.published()["DARTS_V2"].genotype, **kwargs)


@pytest.mark.parametrize("name", ["DARTS_V2", "NASNet", "AmoebaNet", "FairDARTS_a"])
@pytest.mark.parametrize("size", [8, 15])
def test_cells_of_any_shape_run_forward_and_backward(name, size):
    network = Network(genotypes.published()[name].genotype, channels=4, layers=4, in_channels=1)
    logits, auxiliary = network(torch.randn(3, 1, size, size))
    assert logits.shape == auxiliary.shape == (3, 10)
    (logits.sum() + auxiliary.sum()).backward()
    network.eval()
    assert network(torch.randn(3, 1, size, size))[1] is None


def test_the_imagenet_stem_divides_the_resolution_by_eight():
    network = darts_v2(channels=4, layers=4, stem="imagenet", classes=7)
    features = []
    network.cells[0].register_forward_pre_hook(
        lambda _m, inputs: features.extend(tuple(x.shape[2:]) for x in inputs)
    )
    assert network(torch.zeros(2, 3, 64, 64))[0].shape == (2, 7)
    assert features == [(16, 16), (8, 8)]


def test_drop_path_keeps_the_mean_and_drops_whole_images():
    drop = DropPath()
    drop.prob, drop.draws = 0.3, torch.Generator().manual_seed(0)
    out = drop(torch.ones(20_000, 2, 1, 1))
    per_image = out[:, 0, 0, 0]
    assert torch.equal(out[:, 0], out[:, 1])
    assert per_image.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert per_image.mean().item() == pytest.approx(1.0, abs=0.02)
    drop.eval()
    assert torch.equal(drop(torch.ones(4, 1, 1, 1)), torch.ones(4, 1, 1, 1))


def test_drop_path_spares_identities_but_not_factorized_skips():
    network = darts_v2(channels=4, layers=3, auxiliary=False)
    calls = []
    network.drop_path.register_forward_hook(lambda _m, _i, out: calls.append(out))
    for cell, expected in ((network.cells[0], 6), (network.cells[1], 5)):
        calls.clear()
        widths = (cell.preprocess0.conv.in_channels, cell.preprocess1.conv.in_channels)
        cell(*(torch.randn(2, width, 8, 8) for width in widths))
        identities = sum(isinstance(op, nn.Identity) for op in cell.operations)
        assert len(calls) == len(cell.edges) - identities == expected


def test_edges_from_a_node_without_an_input_neither_compute_nor_count():
    text = "Genotype(normal=[('sep_conv_3x3', 3, 2), ('skip_connect', 4, 0)], "
    text += "normal_concat=[2, 3, 4], reduce=[('skip_connect', 2, 0)], reduce_concat=[2])"
    genotype = genotypes.parse(text)
    network = Network(genotype, channels=4, layers=4)
    assert network(torch.randn(2, 3, 8, 8))[0].shape == (2, 10)
    count = sum(p.numel() for p in network.parameters())
    assert count == network_size(genotype, "cifar", 4, 4).parameters_with_auxiliary


def test_an_unknown_operation_is_named():
    text = "Genotype(normal=[('warp', 0), ('skip_connect', 1)], normal_concat=[2], "
    text += "reduce=[('skip_connect', 0), ('skip_connect', 1)], reduce_concat=[2])"
    with pytest.raises(GenotypeError, match="warp"):
        Network(genotypes.parse(text), channels=4, layers=4)
