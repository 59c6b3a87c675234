"""`darts-tui predict`: pictures of any kind, and an error for each broken one."""

import json

import msgspec
import pytest
import torch
from engine_kit import make_run
from PIL import Image

from darts_engine.data import dataset as datasets
from darts_engine.data.augment import Normalisation
from darts_engine.programs import predict
from darts_engine.run.answers import Prediction
from darts_engine.training import trained
from darts_engine.training.inputs import Inputs


@pytest.fixture(scope="module")
def network(run):
    return trained.of_run(run, "best", run.read_config())


@pytest.fixture
def pictures(run, tmp_path):
    """Five test images as files."""
    images = datasets.read(run.read_config().data).test.images[:5]
    for number, image in enumerate(images):
        Image.fromarray(image[:, :, 0].numpy()).save(tmp_path / f"{number}.png")
    return images, [tmp_path / f"{number}.png" for number in range(5)]


def test_a_picture_of_a_test_image_gets_the_networks_probabilities(network, pictures):
    images, files = pictures
    shares = network.logits(network.inputs.on(network.device).plain(images)).softmax(1)
    for share, found in zip(shares, predict.predict(network, files, 9), strict=True):
        assert [name for name, _ in found.labels] == [
            str(c) for c in share.argsort(descending=True).tolist()
        ]
        assert sum(p for _, p in found.labels) == pytest.approx(1, abs=1e-5)
        assert found.labels[0][1] == pytest.approx(share.max().item(), abs=1e-5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1"])
def test_every_mode_and_size_of_picture_is_brought_to_the_networks(network, tmp_path, mode):
    Image.new(mode, (31, 17)).save(tmp_path / "one.png")
    (found,) = predict.predict(network, [tmp_path / "one.png"], 2)
    assert len(found.labels) == 2


def test_images_of_streamed_sets_are_cut_to_their_middle_and_others_are_not():
    half = Image.new("RGB", (200, 100))
    half.paste((255, 255, 255), (0, 0, 45, 100))
    norm = Normalisation(torch.ones(3), torch.zeros(3))
    whole, cropped = (
        predict.pixels(half, Inputs(["a", "b"], (3, 10, 10), cut, norm)) for cut in (False, True)
    )
    assert whole.float().mean() > 50
    assert cropped.float().mean() == 0


def test_a_broken_picture_is_named_and_the_others_go_on(run, pictures, darts, tmp_path):
    _, files = pictures
    (tmp_path / "broken.jpg").write_bytes(files[0].read_bytes()[:40])
    (tmp_path / "bad\x1bname.png").write_text("no picture")
    result = darts(
        "predict", run.path, files[0], "broken.jpg", "bad\x1bname.png", "nope.png", files[1],
        "--top", 2, "--json",
    )  # fmt: skip
    assert result.code == 4
    found = json.loads(result.out)
    assert [len(one.get("labels", [])) for one in found] == [2, 0, 0, 0, 2]
    assert set(found[0]["labels"][0]) == {"class", "probability"}
    assert found[3] == {"image": "nope.png", "error": "there is no such file"}
    assert [line.split(":")[0] for line in result.error_lines] == [
        "broken.jpg", "bad␛name.png", "nope.png",
    ]  # fmt: skip


def test_labels_are_printed_with_a_bar_and_harmlessly(run, darts, monkeypatch):
    found = [Prediction(labels=[("c\x1bat", 0.75), ("dog", 0.25)])]
    answer = msgspec.json.encode(found)
    monkeypatch.setattr("darts_tui.commands.predict.run_with_config", lambda *_: answer)
    result = darts("predict", run.path, "a.png")
    assert result.code == 0
    assert result.out.splitlines() == [
        "a.png",
        "  c␛at   75.00 %  " + 15 * "█",
        "  dog    25.00 %  " + 5 * "█",
    ]


def test_a_search_has_nothing_to_predict_with(runs, darts, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    folder = make_run(runs, "search")
    result = darts("predict", folder.path, "one.png")
    assert result.code == 2
    assert result.error_lines[0].startswith("this run is a search")
