"""The official recurrent code's numbers in float64 (tests/golden/recurrent.npz), to 1e-12."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import nll_loss

from darts_engine.layers import official_recurrent
from darts_engine.layers.norm import statistics_kept
from darts_engine.methods.architects import second_order
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.run.architecture.derivation_recurrent import (
    RECURRENT_OPERATIONS,
    derive_chain,
)
from darts_engine.run.architecture.genotype import RECURRENT
from darts_engine.run.architecture.text import parse
from darts_engine.supernet.plain_recurrent import PlainRecurrent
from darts_engine.supernet.recurrent import RecurrentSupernet

FILE = Path(__file__).parents[1] / "golden" / "recurrent.npz"
CELLS = {
    "DARTS_V1": "Genotype(recurrent=[('relu', 0), ('relu', 1), ('tanh', 2), ('relu', 3), ('relu',"
    " 4), ('identity', 1), ('relu', 5), ('relu', 1)], concat=range(1, 9))",
    "DARTS_V2": "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), ('identity', 1),"
    " ('tanh', 2), ('sigmoid', 5), ('tanh', 3), ('relu', 5)], concat=range(1, 9))",
    "ENAS": "Genotype(recurrent=[('tanh', 0), ('tanh', 1), ('relu', 1), ('tanh', 3), ('tanh', 3),"
    " ('relu', 3), ('relu', 4), ('relu', 7), ('relu', 8), ('relu', 8), ('relu', 8)],"
    " concat=[2, 5, 6, 9, 10, 11])",
}
CLIP = 0.25


@pytest.fixture(scope="module")
def golden():
    numbers = np.load(FILE, allow_pickle=False)
    return {
        k: str(numbers[k]) if k == "genotype" else torch.from_numpy(numbers[k]) for k in numbers
    }


def under(golden, prefix):
    return {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}


@pytest.fixture
def supernet(golden):
    made = RecurrentSupernet(13, 6).double()
    made.load_reference_state(under(golden, "w/"), [golden["alpha"]])
    return made


@pytest.fixture
def plain(golden):
    made = PlainRecurrent(RECURRENT_OPERATIONS, 13, 6).double()
    made.load_state_dict(under(golden, "w/"))
    return made


def loss_of(network, golden, *mixing, part=""):
    hidden = golden["hidden_valid" if part else "hidden"][0]
    logs, hidden = network(golden[f"x{part}"], hidden, *mixing)
    return nll_loss(logs.flatten(0, 1), golden[f"y{part}"].flatten()), logs, hidden


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_pass_of_the_supernet(golden, supernet):
    reading = supernet.read(golden["x"], golden["hidden"][0])
    assert_close(reading.log_probabilities, golden["log_prob"])
    assert_close(reading.hidden, golden["hidden_next"][0])
    slowness = (reading.states[1:] - reading.states[:-1]).square().mean()
    assert_close(slowness, golden["slowness"])
    for name in ("running_mean", "running_var"):
        assert_close(getattr(supernet.norm, name), golden[f"after/rnns.0.bn.{name}"])
    # Evaluation takes the running statistics after that pass.
    logs, _ = supernet.eval()(golden["x"], golden["hidden"][0])
    assert_close(logs, golden["log_prob_eval"])


def test_every_gradient_of_the_supernet(golden, supernet):
    loss, _, _ = loss_of(supernet, golden)
    assert_close(loss, golden["loss"])
    loss.backward()
    ours = official_recurrent.official({k: p.grad for k, p in supernet.named_parameters()})
    theirs = under(golden, "g/")
    assert len(theirs) == 11
    for name, gradient in theirs.items():
        assert_close(ours[name], gradient)
    assert_close(supernet.alphas.recurrent.grad, golden["g_alpha"])


def test_the_definition_has_the_same_numbers(golden, plain):
    alpha = golden["alpha"].clone().requires_grad_()
    loss, logs, hidden = loss_of(plain, golden, alpha.softmax(-1))
    loss.backward()
    assert_close(logs, golden["log_prob"])
    assert_close(hidden, golden["hidden_next"][0])
    assert_close(alpha.grad, golden["g_alpha"])
    for name, parameter in plain.named_parameters():
        assert_close(parameter.grad, golden[f"g/{name}"])
    assert_close(plain.rnns[0].bn.running_var, golden["after/rnns.0.bn.running_var"])


def clipped(gradients):
    """Scaled to the length CLIP if they are longer, and the factor as the official code has it."""
    length = torch.stack([g.norm() for g in gradients]).norm()
    factor = CLIP / (length + 1e-6)
    return [g * factor.clamp(max=1) for g in gradients], factor


def test_alphas_gradient_through_a_weight_step(golden, supernet):
    weights, alphas = list(supernet.weights()), list(supernet.alphas.parameters())
    eta = golden["eta"]

    def train_loss():
        return loss_of(supernet, golden)[0]

    with statistics_kept(supernet):
        step, factor = clipped(torch.autograd.grad(train_loss(), weights))
        by = [
            torch.zeros_like(w) if any(w is held for held in supernet.held_ahead()) else -eta * g
            for g, w in zip(torch._foreach_add(step, weights, alpha=5e-7), weights, strict=True)
        ]
        with second_order.moved(weights, [b.detach() for b in by]):
            valid = loss_of(supernet, golden, part="_valid")[0]
            direct, *rest = torch.autograd.grad(valid, [*alphas, *weights])
        vector, _ = clipped(rest)
        (exact,) = second_order.exact(train_loss, weights, alphas, vector)
        differences = {
            radius: second_order.finite_difference(
                train_loss, weights, alphas, vector, float(radius)
            )[0]
            for radius in ("0.01", "1e-06")
        }
    assert_close(factor, golden["clip_coef"])
    assert_close(direct, golden["unrolled_direct"])
    assert_close(exact, golden["exact_hvp"])
    assert_close(direct - eta * factor * exact, golden["exact_unrolled_alpha"])
    near = direct - eta * factor * differences["0.01"]
    assert_close(near, golden["unrolled_alpha_r0.01"])
    # A small radius divides by itself the last digits that two gradients differ in.
    near = direct - eta * factor * differences["1e-06"]
    torch.testing.assert_close(near, golden["unrolled_alpha_r1e-06"], rtol=0, atol=1e-9)
    torch.testing.assert_close(differences["1e-06"], exact, rtol=0, atol=1e-9)


def test_the_genotype(golden, supernet):
    weights = supernet.alphas.mixing()[RECURRENT]
    theirs = parse(f"Genotype(recurrent={golden['genotype']}, concat=range(1, 9))")
    assert derive_chain(weights.tolist()) == theirs


@pytest.mark.parametrize("name", CELLS)
def test_derived_cells(golden, name):
    network = RecurrentNetwork(parse(CELLS[name]), 13, 6).double()
    network.load_reference_state(under(golden, f"{name}/w/"))
    loss, logs, hidden = loss_of(network, golden)
    loss.backward()
    assert_close(logs, golden[f"{name}/log_prob"])
    assert_close(hidden, golden[f"{name}/hidden_next"][0])
    ours = official_recurrent.official({k: p.grad for k, p in network.named_parameters()})
    for key, gradient in under(golden, f"{name}/g/").items():
        assert_close(ours[key], gradient)
    for key, tensor in network.reference_state().items():
        assert torch.equal(tensor, golden[f"{name}/w/{key}"])
