"""The fast supernet against the paper's definition, published counts and the shape trace."""

import pytest
import torch
from torch.nn import functional

from darts_engine.compute import device as devices
from darts_engine.layers.operations import PRIMITIVES
from darts_engine.supernet import official_state
from darts_engine.supernet.plain import PlainSupernet
from darts_engine.supernet.supernet import Supernet


@pytest.mark.parametrize(
    ("kwargs", "count"),
    [
        ({}, 1_930_618),
        ({"classes": 100}, 1_953_748),
        ({"layers": 5}, 1_275_834),
    ],
)
def test_the_supernet_has_the_published_number_of_weights(kwargs, count):
    with torch.device("meta"):
        supernet = Supernet(**kwargs)
    assert sum(p.numel() for p in supernet.weights()) == count
    assert {tuple(a.shape) for a in supernet.alphas.parameters()} == {(14, 8)}


def test_shapes_follow_the_published_trace():
    shapes = []
    supernet = Supernet(seed=1)
    for module in (supernet.stem, *supernet.cells):
        module.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    logits = supernet(torch.zeros(2, 3, 32, 32))
    assert shapes == [
        (48, 32, 32),
        (64, 32, 32),
        (64, 32, 32),
        (128, 16, 16),
        (128, 16, 16),
        (128, 16, 16),
        (256, 8, 8),
        (256, 8, 8),
        (256, 8, 8),
    ]
    assert logits.shape == (2, 10)


def twins(seed, layers, nodes=4):
    torch.manual_seed(seed)
    fast = Supernet(nodes=nodes, channels=4, layers=layers, in_channels=3, classes=5, seed=seed)
    plain = PlainSupernet(PRIMITIVES, nodes, 4, layers, 3, 5)
    plain.load_state_dict(official_state.export(fast))
    return fast.double(), plain.double()


def mixing_of(kind, edges):
    if kind == "softmax":
        return [functional.softmax(torch.randn(edges, 8, dtype=torch.float64), 1) for _ in "nr"]
    if kind == "one-hot":
        return [functional.one_hot(torch.randint(8, (edges,)), 8).double() for _ in "nr"]
    return [torch.zeros(edges, 8, dtype=torch.float64) for _ in "nr"]


@pytest.mark.parametrize("kind", ["softmax", "one-hot", "zero"])
@pytest.mark.parametrize(("size", "layers"), [(8, 3), pytest.param(9, 4, marks=pytest.mark.slow)])
def test_sharing_changes_no_number(kind, size, layers):
    """Logits, every gradient and every running statistic agree in float64 to 1e-10."""
    fast, plain = twins(7, layers, nodes=3)
    devices.place(fast, torch.device("cpu"))
    normal, reduce = (m.requires_grad_() for m in mixing_of(kind, 9))
    x, y = torch.randn(4, 3, size, size, dtype=torch.float64), torch.tensor([0, 1, 2, 4])
    weights = list(fast.weights())

    ours = fast(x, {"normal": normal, "reduce": reduce})
    ours_grads = torch.autograd.grad(
        functional.cross_entropy(ours, y), [*weights, normal, reduce], allow_unused=True
    )
    theirs = plain(x, normal, reduce)
    their_grads = torch.autograd.grad(
        functional.cross_entropy(theirs, y),
        [*plain.parameters(), normal, reduce],
        allow_unused=True,
    )
    assert torch.allclose(ours, theirs, atol=1e-10, rtol=0)
    for mine, other in zip(ours_grads[:-2], their_grads[:-2], strict=True):
        assert torch.allclose(*(_or_zero(g) for g in (mine, other)), atol=1e-10, rtol=0)
    none = PRIMITIVES.index("none")
    for mine, other in zip(ours_grads[-2:], their_grads[-2:], strict=True):
        # `none` adds nothing whatever its weight: its gradient is zero in both.
        assert (other[:, none] == 0).all()
        assert torch.allclose(mine, other, atol=1e-10, rtol=0)

    # Evaluation mode uses every running statistic of the training pass above.
    fast.eval()
    plain.eval()
    mixing = {"normal": normal, "reduce": reduce}
    assert torch.allclose(fast(x, mixing), plain(x, normal, reduce), atol=1e-10, rtol=0)


def _or_zero(gradient):
    return torch.zeros(1, dtype=torch.float64) if gradient is None else gradient


def test_alphas_are_parameters_apart_from_the_weights():
    supernet = Supernet(channels=4, layers=3)
    inside = {id(p) for p in supernet.weights()}
    assert not inside & {id(a) for a in supernet.alphas.parameters()}
    assert {"alphas.normal", "alphas.reduce"} <= set(supernet.state_dict())
    for weights in supernet.alphas.mixing().values():
        assert torch.allclose(weights.sum(1), torch.ones(14))


def test_the_seed_decides_weights_and_alphas():
    one, same, other = (Supernet(channels=4, layers=3, seed=s) for s in (1, 1, 2))
    pairs = zip(one.parameters(), same.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(one.alphas.normal, other.alphas.normal)
    assert not torch.equal(one.stem[0].weight, other.stem[0].weight)
