"""Files of weights as trainers save them: unwrapped, or refused by what they are."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from darts_engine.networks import official_state, tensor_file, weight_file
from darts_engine.networks.derived import Network
from darts_engine.networks.wide_resnet import WideResNet
from darts_engine.run.architecture import text as genotypes
from darts_engine.run.architecture.networks import WideShape
from darts_engine.run.errors import CheckpointError


def network(seed=1):
    return WideResNet(WideShape(10, 1), classes=5, seed=seed)


def saved(tmp_path, value):
    file = tmp_path / "weights.pt"
    torch.save(value, file)
    return file


STATE = official_state.export(network())
OPTIMIZER = torch.optim.SGD(network().parameters(), lr=0.1, momentum=0.9).state_dict()


def named(prefix, state=STATE):
    return {f"{prefix}{key}": value for key, value in state.items()}


COMPILED_IN_PART = {key.replace("blocks.0.", "blocks.0._orig_mod."): STATE[key] for key in STATE}
COUNTED = {"total_ops": torch.zeros(1), "stem.total_params": torch.zeros(1)}
WRAPPED = {
    "plain": (STATE, ""),
    "model": ({"model": STATE, "epoch": 3}, "under 'model'"),
    "with an optimizer": (
        {"model_state_dict": STATE, "optimizer_state_dict": OPTIMIZER},
        "under 'model_state_dict'",
    ),
    "net": ({"net": STATE, "acc": 91.2, "epoch": 3}, "under 'net'"),
    "parallel in a state_dict": (
        {"state_dict": named("module."), "best_acc_top1": 1.0},
        "under 'state_dict', without 'module.'",
    ),
    "a word of one's own": ({"mine": STATE, "optimizer": OPTIMIZER}, "under 'mine'"),
    "twice": (
        {"checkpoint": {"state_dict": named("model.")}},
        "under 'checkpoint.state_dict', without 'model.'",
    ),
    "beside its average": (
        {"state_dict": STATE, "state_dict_ema": named("x.")},
        "under 'state_dict'",
    ),
    "parallel": (named("module."), "without 'module.'"),
    "compiled": (named("_orig_mod."), "without '_orig_mod.'"),
    "parallel and compiled": (named("module._orig_mod."), "without 'module._orig_mod.'"),
    "compiled and parallel": (named("_orig_mod.module."), "without '_orig_mod.module.'"),
    "compiled in part": (COMPILED_IN_PART, "without '_orig_mod.'"),
    "averaged": (AveragedModel(network()).state_dict(), "without 'module.'"),
    "counted": (STATE | COUNTED, ""),
    "our own names": (network().state_dict(), ""),
}


@pytest.mark.parametrize(("wrapped", "told"), WRAPPED.values(), ids=WRAPPED)
def test_weights_are_unwrapped(tmp_path, wrapped, told):
    target = network(2)
    assert official_state.load_file(target, saved(tmp_path, wrapped)) == told
    for key, value in official_state.export(target).items():
        assert torch.equal(value, STATE[key]), key


def test_several_networks_in_one_file_are_not_guessed(tmp_path):
    file = saved(tmp_path, {"student": STATE, "teacher": STATE})
    with pytest.raises(CheckpointError, match="several networks: student, teacher"):
        weight_file.read(file)


def test_what_is_left_over_or_lacking_is_told_with_the_nearest_name():
    state = dict(STATE)
    name = next(key for key in state if key.endswith(".weight") and "conv1" in key)
    other = name.replace(".weight", ".wieght")
    state[other] = state.pop(name)
    state["head.extra"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match="2 keys too many") as refusal:
        official_state.load(network(), state, where="x.pt")
    assert refusal.value.where == f"x.pt: {other}"
    assert refusal.value.remedy.startswith(f"the nearest is {name}; ")
    del state[other], state["head.extra"]
    with pytest.raises(CheckpointError, match="lack a tensor"):
        official_state.load(network(), state)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_called_that(tmp_path, share):
    file = saved(tmp_path, STATE)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"cut off: its end is missing after [\d,]+ bytes"):
        weight_file.read(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file of weights is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"Genotype(normal=[('sep_conv_3x3', 0)]", "is a genotype, no weights"),
        (b'\x10\0\0\0\0\0\0\0{"a":{"dtype"', "a file of safetensors"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (b"noise", "no file of tensors, or it is broken"),
    ],
)
def test_another_file_is_called_what_it_is(tmp_path, content, words):
    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as refusal:
        weight_file.read(file)
    assert refusal.value.where == str(file)
    assert "weights_only" not in str(refusal.value)


def test_no_tensor_at_all_is_no_state_dictionary(tmp_path):
    assert isinstance(network(), nn.Module)
    with pytest.raises(CheckpointError, match="no state dictionary"):
        weight_file.read(saved(tmp_path, [torch.zeros(2)]))


def test_a_derived_network_in_our_own_names_is_read_too(tmp_path):
    genotype = genotypes.published()["DARTS_V2"].genotype
    source, target = (Network(genotype, channels=2, layers=3, seed=seed) for seed in (1, 2))
    official_state.load_file(target, saved(tmp_path, {"network": source.state_dict()}))
    assert torch.equal(target.classifier.weight, source.classifier.weight)


def test_a_file_of_safetensors_is_read_and_unwrapped_like_any(tmp_path):
    state = {"module.a.weight": torch.arange(4.0).view(2, 2), "module.b.weight": torch.ones(3)}
    file = tmp_path / "model.safetensors"
    file.write_bytes(tensor_file.encode(state, {"format": "pt"}))
    read = weight_file.read(file)
    assert read.unwrapped == "without 'module.'"
    assert read.state.keys() == {"a.weight", "b.weight"}
    assert torch.equal(read.state["a.weight"], state["module.a.weight"])
