"""ONNX of every published genotype, run by onnxruntime: the network's own logits to 1e-5."""

from pathlib import Path
from typing import Any

import pytest
import torch

from darts_engine.data.augment import Normalisation
from darts_engine.data.text.vocabulary import Vocabulary
from darts_engine.networks.build import build, build_recurrent
from darts_engine.programs import export_network
from darts_engine.run.architecture.genotype import DARTS, RECURRENT
from darts_engine.run.architecture.text import published
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import TrainConfig
from darts_engine.training.inputs import Inputs
from darts_engine.training.text_trained import TrainedText
from darts_engine.training.trained import Trained

NAMES = [name for name, one in published().items() if one.genotype.form == DARTS]
OF_TEXT = [name for name, one in published().items() if one.genotype.form == RECURRENT]
# By stem: those of the data sets, and odd ones that no halving divides. Batches of both.
SIZES = {"cifar": ((32, 32), (7, 5)), "imagenet": ((64, 64), (37, 53))}
BATCHES = (1, 3)
ATOL = 1e-5
CPU = torch.device("cpu")


def session(network: Trained | TrainedText, folder: Path) -> Any:
    """The exported network in onnxruntime."""
    pytest.importorskip("onnx", reason="the package onnx is not here")
    runtime: Any = pytest.importorskip(
        "onnxruntime", reason="the package onnxruntime is not here", exc_type=ImportError
    )
    export_network.export(network, ["onnx"], folder, "t")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(folder / "t.onnx", options, providers=["CPUExecutionProvider"])


def of_images(genotype: str, stem: str, size: tuple[int, int]) -> Trained:
    """A small network with running statistics of its own, so that logits differ by image."""
    config = configs.override(
        TrainConfig(),
        {
            "network.genotype": published()[genotype].genotype.text(),
            "network.channels": 4,
            "network.layers": 3,
            "network.stem": stem,
            "engine.device": "cpu",
        },
    )
    network = build(config.network, in_channels=3, classes=5, seed=1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    norm = Normalisation(torch.full((3,), 1 / 64), torch.full((3,), -2.0))
    images = torch.randint(256, (16, *size, 3), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(norm.plain(images.to(torch.uint8)))
    inputs = Inputs(list("abcde"), (3, *size), False, norm)
    return Trained(config, network.eval(), inputs, "nowhere", 1, CPU)


def check_images(genotype: str, stem: str, size: tuple[int, int], folder: Path) -> None:
    network = of_images(genotype, stem, size)
    program = session(network, folder)
    for batch in BATCHES:
        draws = torch.Generator().manual_seed(batch)
        images = torch.randint(256, (batch, *size, 3), generator=draws).to(torch.uint8)
        wanted = network.logits(network.inputs.norm.plain(images))
        pixels = (images.permute(0, 3, 1, 2) / 255).contiguous().numpy()
        given = torch.as_tensor(program.run(None, {"pixels": pixels})[0])
        assert (given - wanted).abs().max() < ATOL
        # A network that says the same of every image would prove nothing.
        assert batch == 1 or wanted.std(0).max() > 1e3 * ATOL


@pytest.mark.parametrize("stem", SIZES)
def test_a_network_of_odd_size_gives_its_own_logits(stem: str, tmp_path: Path) -> None:
    check_images("DARTS_V2", stem, SIZES[stem][1], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("stem", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_every_published_genotype_gives_its_own_logits(
    name: str, stem: str, tmp_path: Path
) -> None:
    for size in SIZES[stem]:
        check_images(name, stem, size, tmp_path)


@pytest.mark.parametrize("name", OF_TEXT)
def test_every_published_recurrent_cell_gives_its_own_probabilities(
    name: str, tmp_path: Path
) -> None:
    changes = {
        "data.dataset": "verses",
        "network.network": "recurrent",
        "network.genotype": published()[name].genotype.text(),
        "text.width": 12,
        "engine.device": "cpu",
    }
    config = configs.override(TrainConfig(), changes)
    tokens = Vocabulary([f"word{place}" for place in range(20)])
    model = build_recurrent(config, len(tokens)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.4, generator=torch.Generator().manual_seed(3))
    network = TrainedText(config, model, tokens, "nowhere", 1, CPU)
    program = session(network, tmp_path)
    for batch in BATCHES:
        draws = torch.Generator().manual_seed(batch)
        text = torch.randint(len(tokens), (6, batch), generator=draws)
        wanted, last = network.read(text, model.first_hidden(batch))
        hidden, found = model.first_hidden(batch).numpy(), []
        for token in text:
            given, hidden = program.run(None, {"token": token.numpy(), "hidden": hidden})
            found.append(torch.as_tensor(given))
        assert (torch.stack(found) - wanted).abs().max() < ATOL
        assert (torch.as_tensor(hidden) - last).abs().max() < ATOL
        assert wanted.std(0).max() > 1e3 * ATOL
