"""Weights of existing searches: the official layout in and out."""

import copy
import functools
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import device as devices
from darts_engine.layers.operations import AVG_POOL, MAX_POOL, PRIMITIVES
from darts_engine.run.errors import CheckpointError
from darts_engine.supernet import official_state
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.plain import MixedOperation, PlainSupernet
from darts_engine.supernet.supernet import CELLS, Supernet

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


NODES, EDGES = 3, 9
NORMS = ("max_norm", "avg_norm")
# SGAS: edges that are decided for an operation or pruned; the others compute all candidates.
SGAS = {2: PRIMITIVES.index(MAX_POOL), 3: None, 4: PRIMITIVES.index("skip_connect"), 7: None}
# GDAS: the operation that is drawn on every edge; each pooling three times.
GDAS = dict(enumerate((1, 2, 4, 2, 1, 7, 1, 3, 2)))


def search_mixing(kept: dict[int, int | None]) -> Mixing:
    """A mixing for both cell types that computes one operation of each edge in `kept`, or none."""
    weights = functional.softmax(torch.randn(EDGES, 8, dtype=torch.float64), 1)
    active: list[tuple[int, ...]] = [tuple(range(8))] * EDGES
    for edge, operation in kept.items():
        active[edge] = () if operation is None else (operation,)
        weights[edge] = torch.zeros(8) if operation is None else torch.eye(8)[operation]
    return Mixing(dict.fromkeys(CELLS, weights), active=dict.fromkeys(CELLS, active))


def computed_only(mixed: MixedOperation, x: Tensor, weights_O: Tensor) -> Tensor:
    """An edge of the official SGAS and GDAS code: what has no weight is not computed at all."""
    terms = [w * op(x) for w, op in zip(weights_O, mixed._ops, strict=True) if w != 0]
    return sum(terms, mixed._ops[0](x))


def step(network: nn.Module, *inputs: object) -> tuple[Tensor, list[Tensor]]:
    """Logits and the gradients of all weights, zero for those that were not used."""
    weights = [p for name, p in network.named_parameters() if "alphas" not in name]
    logits = network(*inputs)
    loss = functional.cross_entropy(logits, torch.tensor([0, 1, 2, 4]))
    grads = torch.autograd.grad(loss, weights, allow_unused=True)
    return logits, [p * 0 if g is None else g for p, g in zip(weights, grads, strict=True)]


def difference(fast: Supernet, plain: PlainSupernet, x: Tensor, mixing: Mixing) -> float:
    """The largest one of logits, gradients and running statistics after a step of both."""
    ours, grads = step(fast, x, mixing)
    theirs, their_grads = step(plain, x, mixing.weights["normal"], mixing.weights["reduce"])
    exported, state = official_state.export(fast), plain.state_dict()
    pairs = [(ours, theirs), *zip(grads, their_grads, strict=True)]
    pairs += [(value, state[name]) for name, value in exported.items()]
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize(
    ("kept", "parted"),
    [
        # Edge 2 leaves state 0 and saw all batches of its maximum; edge 3 leaves state 1.
        (SGAS, {(0, "avg_norm"), (1, "max_norm"), (1, "avg_norm")}),
        (GDAS, {(0, "max_norm"), (1, "max_norm"), (1, "avg_norm"), (2, "max_norm")}),
    ],
    ids=["sgas", "gdas"],
)
def test_statistics_that_differ_between_edges_are_kept(kept, parted, monkeypatch):
    """The official pooling norms of edges that skip batches: same numbers, none is lost."""
    torch.manual_seed(5)
    plain = PlainSupernet(PRIMITIVES, NODES, 4, 3, 3, 5).double()
    mixing, full = search_mixing(kept), search_mixing({})
    batches = list(torch.randn(5, 4, 3, 8, 8, dtype=torch.float64))
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(MixedOperation, "forward", computed_only)
        for batch in batches[:2]:
            plain(batch, mixing.weights["normal"], mixing.weights["reduce"])
    state = {k: v for k, v in plain.state_dict().items() if "num_batches" not in k}

    fast = Supernet(nodes=NODES, channels=4, layers=3, classes=5, seed=9).double()
    official_state.load(fast, state)
    assert all(torch.equal(v, state[k]) for k, v in official_state.export(fast).items())
    own = {(i, n) for i, s in enumerate(fast.cells[1].sources) for n in NORMS if not getattr(s, n)}
    assert own == parted

    for network in (fast, copy.deepcopy(fast)):
        devices.place(network.eval(), torch.device("cpu"))
        logits = network(batches[2], full)
        theirs = plain.eval()(batches[2], full.weights["normal"], full.weights["reduce"])
        assert torch.allclose(logits, theirs, atol=1e-12, rtol=0)
    assert {b.device.type for b in copy.deepcopy(fast).to("meta").buffers()} == {"meta"}

    # A step that computes everything, one of the search, and what evaluation makes of both.
    fast.train(), plain.train()
    assert difference(fast, plain, batches[3], full._replace(active=None)) < 1e-10
    monkeypatch.setattr(MixedOperation, "forward", computed_only)
    assert difference(fast, plain, batches[4], mixing) < 1e-10
    fast.eval(), plain.eval()
    assert difference(fast, plain, batches[2], full._replace(active=None)) < 1e-10


def test_a_shared_norm_takes_in_the_batch_if_any_of_its_edges_does():
    fast, before = lived(), official_state.export(lived())
    active = [(PRIMITIVES.index(MAX_POOL),), *[(PRIMITIVES.index("none"),)] * 13]
    weights = {cell: torch.ones(14, 8, dtype=torch.float64) for cell in CELLS}
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    fast(x, Mixing(weights, active=dict.fromkeys(CELLS, active)))
    after = official_state.export(fast)
    moved = {
        key
        for key in LAYOUT
        if "1.running_mean" in key and not torch.equal(before[key], after[key])
    }
    # Edge 0 computes it; edges 2, 5 and 9 leave the same state.
    assert {k for k in moved if k.startswith("cells.0._ops")} == {
        f"cells.0._ops.{edge}._ops.1.1.running_mean" for edge in (0, 2, 5, 9)
    }


def test_edges_with_norms_of_their_own_take_any_other_weights():
    """Also where each edge has candidates of its own, and the pooling another column."""
    pairs = [(MAX_POOL, "sep_conv_3x3"), ("skip_connect", MAX_POOL), (AVG_POOL, "none")] * 3
    design = {"names": {"normal": pairs, "reduce": pairs}, "nodes": NODES, "partial": 2}
    shared, own = (Supernet(channels=8, layers=3, **design).double() for _ in "so")
    equal = official_state.export(shared)
    name = "cells.1._ops.6._ops.0.1.running_var"
    other = equal | {name: equal[name] + 1}
    for state, parted in ((equal, False), (other, True), (other, True), (equal, True)):
        official_state.load(own, state)
        assert all(torch.equal(v, state[k]) for k, v in official_state.export(own).items())
        assert (own.cells[1].sources[1].max_norm is None) == parted
        assert (own.state_dict().keys() == shared.state_dict().keys()) != parted
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert torch.allclose(shared(x), own(x), atol=1e-12, rtol=0)
    assert torch.allclose(shared.eval()(x), own.eval()(x), atol=1e-12, rtol=0)


SEP = "cells.0._ops.2._ops.4.op.1.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop(SEP), SEP),
        (lambda s: s.update({SEP: torch.zeros(4, 1, 5, 5)}), SEP),
        (lambda s: s.update({"cells.3.extra": torch.zeros(1)}), "cells.3.extra"),
        (lambda s: s.update({SEP: "text"}), SEP),
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
