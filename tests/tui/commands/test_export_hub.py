"""`export-network --format hub`: a folder of the Hugging Face hub, and the network back from it."""

import json
import re
import runpy
from pathlib import Path

import pytest
import torch
from engine_kit import NOISY

from darts_engine.compute import device as devices
from darts_engine.networks import tensor_file
from darts_engine.networks.build import build
from darts_engine.programs import export_network
from darts_engine.run import events
from darts_engine.run.errors import CheckpointError, NotFoundError, RunError
from darts_engine.run.settings import config as configs
from darts_engine.run.state import RunState
from darts_engine.training import hub, trained
from darts_tui.export import card, render


@pytest.fixture(scope="module")
def network(run):
    return trained.of_run(run, "best", run.read_config())


def pixels(batch: int) -> torch.Tensor:
    """(B, 8, 8, 1) uint8."""
    draws = torch.Generator().manual_seed(batch)
    return torch.randint(256, (batch, 8, 8, 1), generator=draws, dtype=torch.uint8)


def logits(network, batch: int) -> torch.Tensor:
    return network.logits(network.inputs.on(network.device).plain(pixels(batch)))


def test_a_folder_has_the_weights_their_config_a_card_and_pictures(run, darts, tmp_path) -> None:
    result = darts("export-network", run.path, "--format", "hub", "--out", tmp_path, "--json")
    assert result.code == 0, result.err
    answer = json.loads(result.out)
    folder = tmp_path / "trained-hub"
    assert [Path(file).name for file in answer["files"]] == [
        "model.safetensors", "config.json", "normal.png", "reduce.png", "README.md",
    ]  # fmt: skip
    assert all(Path(file).parent == folder and Path(file).is_file() for file in answer["files"])
    assert "license" in answer["messages"][0]
    about = json.loads((folder / "config.json").read_text())
    config = run.read_config()
    assert about["model_type"] == "darts-cell-network"
    assert about["genotype"] == config.network.genotype
    assert about["cells"] == config.network.layers
    assert about["id2label"] == {"0": "0", "1": "1", "2": "2", "3": "3"}
    metadata = tensor_file.decode((folder / "model.safetensors").read_bytes()).metadata
    assert metadata["run"] == run.read_record().id
    assert json.loads(metadata["config"]) == about


def test_the_card_says_what_was_measured_and_how(run, darts, tmp_path) -> None:
    assert darts("export-network", run.path, "--format", "hub", "--out", tmp_path).code == 0
    text = (tmp_path / "trained-hub" / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    assert "library_name: darts-tui\npipeline_tag: image-classification\n" in head
    assert "model-index:" in head
    for heading in ("# trained", "## Data", "## Figures", "## Use"):
        assert f"\n{heading}\n" in body
    assert "![normal cell](normal.png)" in body
    assert "Genotype(normal=" in body
    assert (
        f"Of one training: 3 epochs, batch size {run.read_config().data.batch_size}, seed" in body
    )
    assert re.search(r"\| accuracy \| \d+\.\d\d % \| .* after epoch \d of 3", body)


def test_the_lines_of_the_card_load_it(run, darts, tmp_path, monkeypatch, capsys) -> None:
    assert darts("export-network", run.path, "--format", "hub", "--out", tmp_path).code == 0
    text = (tmp_path / "trained-hub" / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) <= 10
    (tmp_path / "use.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    runpy.run_path("use.py")
    assert capsys.readouterr().out.strip() in ("0", "1", "2", "3")


def test_the_network_of_a_folder_gives_the_same_bits(network, tmp_path) -> None:
    export_network.export(network, ["hub"], tmp_path, "t", "abc")
    again = hub.load(tmp_path / "t-hub")
    assert again.inputs.classes == network.inputs.classes
    assert (again.source, again.epoch) == (network.source, network.epoch)
    for batch in (1, 2, 7):
        assert torch.equal(logits(again, batch), logits(network, batch))


@pytest.mark.parametrize(
    "change",
    [
        {"network.network": "wrn-10-1", "network.genotype": ""},
        {"network.genotype": NOISY},
        {
            "network.genotype": "|nor_conv_3x3~0|+|none~0|skip_connect~1|"
            "+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|"
        },
    ],
    ids=["wide", "noise", "nasbench201"],
)
def test_every_kind_of_network_gives_the_same_bits(change, network, tmp_path) -> None:
    config = configs.override(network.config, change)
    other = build(config.network, in_channels=1, classes=4, seed=config.engine.seed).eval()
    with torch.no_grad():
        for value in other.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) / 10)
    devices.place(other, network.device, channels_last=config.engine.channels_last)
    subject = trained.Trained(config, other, network.inputs, "nowhere", None, network.device)
    export_network.export(subject, ["hub"], tmp_path, "t")
    assert torch.equal(logits(hub.load(tmp_path / "t-hub"), 3), logits(subject, 3))


def test_no_path_of_this_machine_is_published(network, tmp_path) -> None:
    change = {"data.dataset": "folder:/home/alice/cats"}
    config = configs.override(network.config, change)
    subject = trained.Trained(
        config, network.network, network.inputs, "checkpoints/1", 1, network.device
    )
    content = hub.files(subject, "")["config.json"] + hub.files(subject, "")["model.safetensors"]
    assert b"alice" not in content
    assert json.loads(hub.files(subject, "")["config.json"])["dataset"] == "folder:cats"
    assert hub.named("npy:/a/x.npy,/b/y.npy") == "npy:x.npy,y.npy"
    assert hub.named("cifar10") == "cifar10"


def test_a_damaged_folder_is_refused_in_a_sentence(network, tmp_path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read"):
        hub.load(tmp_path / "nowhere")
    export_network.export(network, ["hub"], tmp_path, "t")
    folder = tmp_path / "t-hub"
    whole = json.loads((folder / "config.json").read_text())
    for change in (
        {"model_type": "bert"},
        {"genotype": None, "network": {"genotype": "os.system"}},
        {"network": "x"},
        {"engine": {}},
        {"input_size": [1, 2]},
        {"scale": "wide"},
        {"id2label": {"7": "seven"}},
        {"network": whole["network"] | {"layers": 9}},
    ):
        (folder / "config.json").write_text(json.dumps(whole | change))
        with pytest.raises(RunError) as refused:
            hub.load(folder)
        assert str(folder) in refused.value.where or change.get("network"), change
    (folder / "config.json").write_text("[" * 9)
    with pytest.raises(CheckpointError):
        hub.load(folder)


def test_without_a_renderer_the_card_has_no_picture_and_says_so(
    run, darts, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(render, "renderers", lambda _: [])
    result = darts("export-network", run.path, "--format", "hub", "--out", tmp_path)
    assert result.code == 0
    assert result.error_lines[0].startswith("the card has no picture of its cells")
    assert "![" not in (tmp_path / "trained-hub" / "README.md").read_text()


# Figures ------------------------------------------------------------------------------------------


def state(images: dict[str, int], *epochs: float, test: events.TestMeasured | None = None):
    started = events.RunStarted(
        name="t", kind="train", config={}, versions={}, device="cpu", threads=1, pid=1, host="h",
        parameters=1, epochs=len(epochs), steps_per_epoch=1, dataset="d", classes=[],
        images=images, image_shape=[1, 2, 3],
    )  # fmt: skip
    done = [
        events.EpochFinished(
            epoch=at, global_step=at, train_loss=1.0, train_top1=1.0, valid_loss=1.0,
            valid_top1=top1, seconds=1.0,
        )
        for at, top1 in enumerate(epochs, 1)
    ]  # fmt: skip
    return RunState(started=started, epochs=done, test=test)


def test_a_figure_on_test_images_that_chose_the_epoch_is_called_optimistic() -> None:
    (only,) = card.figures(state({"train": 9, "test": 5}, 50.0, 70.0, 60.0), 2)
    assert (only.value, only.part) == (70.0, "test")
    assert only.how.startswith("5 test images, after epoch 2 of 3; they were looked at after every")


def test_a_final_test_stands_first_and_only_beside_its_own_weights() -> None:
    parts = {"train": 9, "valid": 4, "test": 5}
    test = events.TestMeasured(epoch=2, images=5, test_top1=66.0)
    first, second = card.figures(state(parts, 50.0, 70.0, 60.0, test=test), 2)
    assert (first.value, first.part) == (66.0, "test")
    assert "once" in first.how
    assert second.how == (
        "4 validation images, after epoch 2 of 3; the best epoch was chosen by them"
    )
    (last,) = card.figures(state(parts, 50.0, 70.0, 60.0, test=test), 3)
    assert last.value == 60.0
    assert card.figures(state(parts), 1) == []


def test_foreign_names_end_no_block_of_the_card() -> None:
    about = {
        "genotype": "", "dataset": 'x"\n---\n```', "epoch": 1, "input_size": [1, 8, 8],
        "num_classes": 1, "network": {"network": "wrn-10-1"}, "mean": [0.5], "std": [0.5],
        "id2label": {"0": "`](javascript:x)<b>"},
    }  # fmt: skip
    text = card.card("a`b\n# c", about, state({"train": 9, "test": 5}, 50.0), {})
    assert text.count("---\n") == 2
    assert '      name: "x\\" --- ```"\n' in text
    assert text.split("---\n")[2].count("```") == 2
    assert "<b>" not in text
