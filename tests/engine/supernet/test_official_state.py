"""Weights of existing searches: the official layout in and out."""

import copy
import functools
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from darts_engine.layers.operations import PRIMITIVES
from darts_engine.run.errors import CheckpointError
from darts_engine.supernet import official_state
from darts_engine.supernet.plain import PlainSupernet
from darts_engine.supernet.supernet import Supernet

LAYOUT = json.loads(
    (Path(__file__).parents[2] / "conformance" / "reference_supernet_keys.json").read_text()
)["state"]


def lived(seed: int = 1) -> Supernet:
    """A supernet whose running statistics have seen batches."""
    return copy.deepcopy(_lived(seed))


@functools.cache
def _lived(seed: int) -> Supernet:
    torch.manual_seed(seed)
    supernet = Supernet(channels=4, layers=3, seed=seed).double()
    for _ in range(2):
        supernet(torch.randn(4, 3, 8, 8, dtype=torch.float64))
    return supernet


def test_names_shapes_and_order_are_the_official_ones():
    state = official_state.export(Supernet(channels=4, layers=3))
    assert {key: list(value.shape) for key, value in state.items()} == LAYOUT
    assert list(state) == list(LAYOUT)


def test_the_plain_supernet_has_the_official_names():
    plain = PlainSupernet(channels=4, layers=3)
    assert [key for key in plain.state_dict() if "num_batches_tracked" not in key] == list(LAYOUT)


@pytest.mark.slow
def test_the_round_trip_is_bit_for_bit():
    source, target = lived(1), lived(2)
    state = official_state.export(source)
    alphas = source.alphas.matrices()
    official_state.load(target, state, (alphas["normal"], alphas["reduce"]))
    loaded = target.state_dict()
    for name, value in source.state_dict().items():
        assert torch.equal(value, loaded[name]), name
    assert all(torch.equal(v, state[k]) for k, v in official_state.export(target).items())


def test_a_state_with_batch_counters_is_read_too():
    source, target = lived(1), lived(2)
    state = official_state.export(source)
    counters = {k.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for k in state}
    official_state.load(target, state | {k: v for k, v in counters.items() if "tracked" in k})
    assert torch.equal(source.stem[0].weight, target.stem[0].weight)


def test_what_is_written_is_a_copy():
    supernet = lived()
    before = supernet.classifier.bias.clone()
    official_state.export(supernet)["classifier.bias"].add_(1)
    assert torch.equal(before, supernet.classifier.bias)


def plain_with(state):
    """The plain supernet with official weights: its tensors come in the same order."""
    plain = PlainSupernet(PRIMITIVES, 4, 4, 3, 3, 10).double()
    own = {k: v for k, v in plain.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert [list(v.shape) for v in own.values()] == list(LAYOUT.values())
    for mine, theirs in zip(own.values(), state.values(), strict=True):
        mine.copy_(theirs)
    return plain


@pytest.mark.parametrize("training", [False, True])
def test_logits_after_loading_are_those_of_the_plain_supernet(training):
    state = official_state.export(lived(3))
    normal, reduce = (torch.randn(14, 8, dtype=torch.float64) for _ in "nr")
    fast, plain = Supernet(channels=4, layers=3, seed=9).double(), plain_with(state)
    official_state.load(fast, state, {"reduce": reduce, "normal": normal})
    nets: list[nn.Module] = [fast.train(training), plain.train(training)]
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        ours = nets[0](x)
        theirs = nets[1](x, functional.softmax(normal, 1), functional.softmax(reduce, 1))
    assert torch.allclose(ours, theirs, atol=1e-10, rtol=0)


SEP = "cells.0._ops.2._ops.4.op.1.weight"
POOL = "cells.1._ops.3._ops.2.1.running_var"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop(SEP), SEP),
        (lambda s: s.update({SEP: torch.zeros(4, 1, 5, 5)}), SEP),
        (lambda s: s.update({"cells.3.extra": torch.zeros(1)}), "cells.3.extra"),
        (lambda s: s.update({SEP: "text"}), SEP),
        (lambda s: s.update({POOL: s[POOL] + 1}), POOL),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(change, named):
    supernet = lived()
    before = {k: v.clone() for k, v in supernet.state_dict().items()}
    state = official_state.export(lived(2))
    change(state)
    with pytest.raises(CheckpointError) as caught:
        official_state.load(supernet, state)
    assert named in caught.value.where
    assert all(torch.equal(v, before[k]) for k, v in supernet.state_dict().items())


@pytest.mark.parametrize(
    "alphas",
    [(), (torch.zeros(14, 8),), {"normal": torch.zeros(14, 8)}, [torch.zeros(14, 7)] * 2],
)
def test_alphas_that_do_not_fit_are_refused(alphas):
    supernet = lived()
    with pytest.raises(CheckpointError):
        official_state.load(supernet, official_state.export(supernet), alphas)
