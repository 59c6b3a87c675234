"""`darts-tui export-network`: what is exported computes what the run's network computes."""

import json
import sys

import pytest
import torch
from engine_kit import NOISY

from darts_engine.networks import official_state
from darts_engine.networks.build import build
from darts_engine.programs import export_network
from darts_engine.run.errors import ConfigError, RunError
from darts_engine.run.settings import config as configs
from darts_engine.training import trained

# Loading TorchScript warns that it has a successor.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def network(run):
    return trained.of_run(run, "best", run.read_config())


def pixels(batch: int) -> torch.Tensor:
    """(B, 8, 8, 1) uint8."""
    draws = torch.Generator().manual_seed(batch)
    return torch.randint(256, (batch, 8, 8, 1), generator=draws, dtype=torch.uint8)


def agrees(network, program, batch: int) -> bool:
    images = pixels(batch)
    wanted = network.logits(network.inputs.on(network.device).plain(images))
    given = (images.permute(0, 3, 1, 2) / 255).contiguous()
    return torch.allclose(torch.as_tensor(program(given)), wanted, atol=1e-5, rtol=1e-6)


@pytest.mark.slow
def test_programs_take_raw_pixels_of_any_batch_and_agree_with_the_run(network, tmp_path):
    names = export_network.export(network, ["torchscript", "torch-export"], tmp_path, "t")
    assert names == ["t.torchscript.pt", "t.pt2"]
    extra = {export_network.METADATA: ""}
    script = torch.jit.load(tmp_path / "t.torchscript.pt", _extra_files=extra)
    program = torch.export.load(tmp_path / "t.pt2").module()
    for batch in (1, 2, 5):
        assert agrees(network, script, batch)
        assert agrees(network, program, batch)
    about = json.loads(extra[export_network.METADATA])
    assert about["input"]["range"] == [0.0, 1.0]
    assert about["input"]["normalised_inside"] is True
    assert about["classes"] == ["0", "1", "2", "3"]


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"network.network": "wrn-10-1"}, {"network.genotype": NOISY}])
def test_wide_resnets_and_networks_with_noise_are_exported_too(change, network, tmp_path):
    config = configs.override(network.config, change)
    other = build(config.network, in_channels=1, classes=4, seed=0).eval()
    subject = trained.Trained(config, other, network.inputs, "nowhere", None, network.device)
    export_network.export(subject, ["torchscript", "torch-export"], tmp_path, "o")
    for batch in (1, 3):
        assert agrees(subject, torch.jit.load(tmp_path / "o.torchscript.pt"), batch)
        assert agrees(subject, torch.export.load(tmp_path / "o.pt2").module(), batch)


def test_the_state_dictionary_is_in_the_official_layout_with_its_config(network, tmp_path):
    assert export_network.export(network, ["state-dict"], tmp_path, "t") == [
        "t-state.pt", "t-state.json",
    ]  # fmt: skip
    state = torch.load(tmp_path / "t-state.pt", weights_only=True)
    about = json.loads((tmp_path / "t-state.json").read_text())
    assert about["input"]["normalised_inside"] is False
    config = configs.from_plain(about["config"])
    assert isinstance(config, configs.TrainConfig)
    again = build(config.network, in_channels=1, classes=4, seed=9).eval()
    official_state.load(again, state)
    mean, std = (torch.tensor(about["normalisation"][key]) for key in ("mean", "std"))

    def by_hand(images):
        with torch.no_grad():
            return again((images - mean) / std)[0]

    assert agrees(network, by_hand, 4)


def test_onnx_computes_the_same_where_its_packages_are(network, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    export_network.export(network, ["onnx"], tmp_path, "t")
    session = runtime.InferenceSession(tmp_path / "t.onnx")
    for batch in (1, 5):
        assert agrees(network, lambda x: session.run(None, {"pixels": x.numpy()})[0], batch)


def test_without_its_package_onnx_is_refused_and_nothing_is_written(network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match="ONNX needs a package") as refused:
        export_network.export(network, ["state-dict", "onnx"], tmp_path, "t")
    assert refused.value.remedy == "pip install onnx"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(network, tmp_path):
    with pytest.raises(RunError, match="cannot be written"):
        export_network.export(network, ["state-dict"], tmp_path / "nowhere", "t")


def test_the_command_writes_into_the_runs_exports_and_prints_where(run, darts):
    result = darts("export-network", run.path, "--format", "state-dict,torchscript", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["files"] == [
        str(run.exports / name)
        for name in ("trained-state.pt", "trained-state.json", "trained.torchscript.pt")
    ]
    assert (run.exports / "trained.torchscript.pt").is_file()
    refused = darts("export-network", run.path, "--format", "keras")
    assert refused.code == 2
    assert refused.error_lines[0] == "there is no format 'keras'"
