import json
from pathlib import Path

import pytest

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.size import Size, network_size
from darts_engine.run.architecture.size_recurrent import recurrent_size
from darts_engine.run.architecture.text import from_json, published
from darts_engine.run.errors import GenotypeError

TABLE = json.loads((Path(__file__).parent / "genotypes.json").read_text())["genotypes"]

RECURRENT = [name for name, entry in TABLE.items() if "recurrent" in entry]

DARTS_V2 = published()["DARTS_V2"].genotype


@pytest.mark.parametrize("name", sorted(set(TABLE) - set(RECURRENT)))
def test_every_published_count_comes_out_exactly(name: str) -> None:
    entry = TABLE[name]
    genotype = from_json(entry)
    cifar10, cifar100 = network_size(genotype), network_size(genotype, classes=100)
    imagenet = network_size(genotype, "imagenet")
    counted = {
        "cifar10_C36_L20": cifar10.parameters,
        "cifar10_C36_L20_with_auxiliary": cifar10.parameters_with_auxiliary,
        "cifar100_C36_L20": cifar100.parameters,
        "imagenet_C48_L14": imagenet.parameters,
        "imagenet_C48_L14_with_auxiliary": imagenet.parameters_with_auxiliary,
    }
    expected = entry["parameters"]
    assert {key: counted[key] for key in expected} == expected
    operations = {
        "cifar10_32x32": cifar10.multiply_adds,
        "imagenet_224x224": imagenet.multiply_adds,
    }
    expected = entry.get("multiply_adds", {})
    assert {key: operations[key] for key in expected} == expected


@pytest.mark.parametrize("name", RECURRENT)
def test_every_published_count_of_a_recurrent_network_comes_out_exactly(name: str) -> None:
    genotype = from_json(TABLE[name])
    counted = {
        "search_300": recurrent_size(genotype, 300, 10_000).parameters,
        "penn_850": recurrent_size(genotype).parameters,
        "wikitext2_700": recurrent_size(genotype, 700, 33_278).parameters,
    }
    expected = TABLE[name]["parameters"]
    assert {key: counted[key] for key in expected} == expected


def test_a_recurrent_cell_is_not_counted_as_one_for_images_nor_the_other_way() -> None:
    with pytest.raises(GenotypeError, match="reads text"):
        network_size(from_json(TABLE["RNN_DARTS_V2"]))
    with pytest.raises(GenotypeError, match="only a recurrent cell"):
        recurrent_size(DARTS_V2)


@pytest.mark.parametrize("operation", ["none", "skip_connect"])
def test_an_operation_that_no_recurrent_cell_has_is_named(operation: str) -> None:
    with pytest.raises(GenotypeError, match=operation):
        recurrent_size(from_json({"recurrent": [["tanh", 0], [operation, 1]]}))


def test_shipped_cells_are_those_of_the_table() -> None:
    assert {name: entry.genotype for name, entry in published().items()} == {
        name: from_json(entry) for name, entry in TABLE.items()
    }


def test_image_size_changes_the_work_but_not_the_weights() -> None:
    large, small = network_size(DARTS_V2), network_size(DARTS_V2, image_size=16)
    assert (small.parameters, small.parameters_with_auxiliary) == (
        large.parameters,
        large.parameters_with_auxiliary,
    )
    # The classifier alone does not shrink: it sees one pixel of 4 nodes x 144 channels.
    classifier = 4 * 144 * 10
    assert 4 * (small.multiply_adds - classifier) == large.multiply_adds - classifier


def test_grey_images_save_the_stem_two_thirds_of_its_weights() -> None:
    colour, grey = network_size(DARTS_V2), network_size(DARTS_V2, image_channels=1)
    assert colour.parameters - grey.parameters == 2 * 9 * 3 * 36


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_shallow_networks_are_counted(layers: int) -> None:
    size = network_size(DARTS_V2, channels=16, layers=layers, image_size=8)
    assert isinstance(size, Size)
    assert 0 < size.parameters < size.parameters_with_auxiliary


def test_an_unknown_operation_is_named() -> None:
    genotype = Genotype((("warp", 0), ("skip_connect", 1)), (2,), (("warp", 0),) * 2, (2,))
    with pytest.raises(GenotypeError, match="'warp'"):
        network_size(genotype)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(GenotypeError, match="mnist"):
        network_size(DARTS_V2, "mnist")


def test_a_cell_whose_nodes_are_all_isolated_is_refused() -> None:
    with pytest.raises(GenotypeError, match="no concatenated node"):
        network_size(Genotype((), (2, 3), (), (2, 3)))
