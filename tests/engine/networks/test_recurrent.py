"""The recurrent network of a genotype: sizes, dropouts and refusals."""

import pytest
import torch

from darts_engine.layers.language_model import Dropouts
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.run.architecture.text import parse, published
from darts_engine.run.errors import CheckpointError, GenotypeError

V2 = parse(
    "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), ('identity', 1), ('tanh', 2),"
    " ('sigmoid', 5), ('tanh', 3), ('relu', 5)], concat=range(1, 9))"
)
ENAS = parse(
    "Genotype(recurrent=[('tanh', 0), ('tanh', 1), ('relu', 1), ('tanh', 3), ('tanh', 3),"
    " ('relu', 3), ('relu', 4), ('relu', 7), ('relu', 8), ('relu', 8), ('relu', 8)],"
    " concat=[2, 5, 6, 9, 10, 11])"
)


@pytest.mark.parametrize(
    ("genotype", "vocabulary", "width", "parameters"),
    [(V2, 10_000, 850, 22_960_000), (V2, 33_278, 700, 33_127_878), (ENAS, 10_000, 850, 27_295_000)],
)
def test_parameters_to_the_unit(genotype, vocabulary, width, parameters):
    with torch.device("meta"):
        network = RecurrentNetwork(genotype, vocabulary, width)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_masks_are_drawn_in_training_only_and_from_the_given_generator():
    network = RecurrentNetwork(V2, 9, 6, dropouts=Dropouts(0.2, 0.2, 0.5, 0.3, 0.5))
    tokens, hidden = torch.arange(9).view(3, 3), network.first_hidden(3)
    passes = []
    for seed in (1, 1, 2):
        network.masks.draws = torch.Generator().manual_seed(seed)
        passes.append(network(tokens, hidden)[0])
    assert torch.equal(passes[0], passes[1])
    assert not torch.equal(passes[0], passes[2])
    network.eval()
    assert torch.equal(network(tokens, hidden)[0], network(tokens, hidden)[0])


def test_a_text_in_two_parts_reads_as_in_one():
    network = RecurrentNetwork(ENAS, 9, 6).double().eval()
    tokens, hidden = torch.arange(18).view(6, 3) % 9, network.first_hidden(3)
    whole, last = network(tokens, hidden)
    first, between = network(tokens[:2], hidden)
    second, end = network(tokens[2:], between)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(end, last, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(6, 3).double(), rtol=0, atol=1e-12)


def test_autocast_keeps_probabilities_in_float32():
    network = RecurrentNetwork(V2, 9, 16)
    tokens, hidden = torch.arange(9).view(3, 3), network.first_hidden(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logs, _ = network(tokens, hidden)
    assert logs.dtype == torch.float32
    torch.testing.assert_close(logs, network(tokens, hidden)[0], rtol=0, atol=0.05)
    grads = torch.autograd.grad(logs.sum(), list(network.parameters()))
    assert all(g.isfinite().all() for g in grads)


def test_refusals():
    with pytest.raises(GenotypeError, match="reads no text"):
        RecurrentNetwork(published()["DARTS_V2"].genotype, 9, 6)
    unknown = parse("Genotype(recurrent=[('sine', 0)], concat=[1])")
    with pytest.raises(GenotypeError, match="'sine'"):
        RecurrentNetwork(unknown, 9, 6)
    state = RecurrentNetwork(V2, 9, 6).reference_state()
    with pytest.raises(CheckpointError) as error:
        RecurrentNetwork(ENAS, 9, 6).load_reference_state(state)
    assert error.value.where == "rnns.0._Ws.8"
