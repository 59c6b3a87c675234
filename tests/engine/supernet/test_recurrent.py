"""The relaxed recurrent cell: equal to its definition and, one-hot, to the derived cell."""

import pytest
import torch
from torch.nn.functional import nll_loss

from darts_engine.bench import recurrent as bench
from darts_engine.compute import streams
from darts_engine.layers import official_recurrent
from darts_engine.layers.language_model import SPREAD, Dropouts
from darts_engine.layers.norm import statistics_kept
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.run.architecture.derivation_one_cell import edges_of
from darts_engine.run.architecture.derivation_recurrent import (
    RECURRENT_OPERATIONS,
    derive_chain,
)
from darts_engine.run.architecture.genotype import RECURRENT
from darts_engine.run.errors import CheckpointError
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.plain_recurrent import PlainRecurrent
from darts_engine.supernet.recurrent import RecurrentSupernet

ALL_DROPOUTS = Dropouts(0.3, 0.2, 0.4, 0.25, 0.5)
WORDS, WIDTH, NODES = 11, 5, 3


def text(length=4, columns=3):
    draws = torch.Generator().manual_seed(1)
    tokens = torch.randint(WORDS, (length + 1, columns), generator=draws)
    hidden = torch.randn(columns, WIDTH, generator=draws, dtype=torch.float64)
    return tokens[:-1], tokens[1:], hidden


def made(**options):
    return RecurrentSupernet(WORDS, WIDTH, nodes=NODES, alpha_scale=1.0, **options).double()


def plain_of(supernet):
    plain = PlainRecurrent(RECURRENT_OPERATIONS, WORDS, WIDTH, NODES, supernet.dropouts).double()
    plain.load_state_dict(plain.state_dict() | official_recurrent.export(supernet))
    return plain


def loss_of(logs, targets):
    return nll_loss(logs.flatten(0, 1), targets.flatten())


def one_hot(columns):
    hot = torch.nn.functional.one_hot(torch.tensor(columns), len(RECURRENT_OPERATIONS)).double()
    return hot, [(column,) for column in columns]


def test_ours_and_the_definition_agree_with_every_dropout_on():
    supernet = made(dropouts=ALL_DROPOUTS)
    plain = plain_of(supernet)
    tokens, targets, hidden = text()
    supernet.stochastic.draws, plain.draws = (torch.Generator().manual_seed(3) for _ in "ab")
    mine, mine_hidden = supernet(tokens, hidden)
    theirs, their_hidden = plain(tokens, hidden, supernet.alphas.mixing()[RECURRENT])
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(mine_hidden, their_hidden, rtol=0, atol=1e-12)
    alpha = supernet.alphas.recurrent
    grads = [torch.autograd.grad(loss_of(m, targets), alpha)[0] for m in (mine, theirs)]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)


def test_passes_with_equal_generators_share_their_masks():
    supernet = made(dropouts=ALL_DROPOUTS)
    tokens, _, hidden = text()
    passes = []
    for seed in (3, 3, 4):
        supernet.stochastic.draws = torch.Generator().manual_seed(seed)
        passes.append(supernet(tokens, hidden)[0])
    assert torch.equal(passes[0], passes[1])
    assert not torch.equal(passes[0], passes[2])
    supernet.eval()
    before = supernet.stochastic.draws.get_state()
    supernet(tokens, hidden)
    assert torch.equal(supernet.stochastic.draws.get_state(), before)


def test_one_mask_of_a_kind_lasts_for_all_time_steps():
    supernet = made(dropouts=Dropouts(output=0.5))
    tokens, _, hidden = text(length=6)
    reading = supernet.read(tokens, hidden)
    ratio = (reading.dropped / reading.states).detach()
    assert sorted(ratio.unique().round(decimals=6).tolist()) == [0.0, 2.0]
    assert torch.allclose(ratio, ratio[:1].expand_as(ratio))


@pytest.mark.parametrize("gives_active", [False, True])
def test_one_hot_mixing_without_norm_is_the_derived_cell(gives_active):
    supernet = made()
    supernet.norm = torch.nn.Identity()
    # Node 2 takes its second edge, the others their first; the rest is `none`.
    columns = [{0: 1, 2: 3, 3: 4}.get(edge, 0) for edge in range(len(edges_of(NODES)))]
    hot, active = one_hot(columns)
    mixing = Mixing({RECURRENT: hot}, active={RECURRENT: active} if gives_active else None)
    tokens, _, hidden = text()
    ours = supernet(tokens, hidden, mixing)
    genotype = derive_chain(hot.tolist())
    assert [(e.operation, e.input) for e in genotype.edges(RECURRENT)] == [
        ("tanh", 0), ("sigmoid", 1), ("identity", 0)
    ]  # fmt: skip
    network = RecurrentNetwork(genotype, WORDS, WIDTH).double()
    network.load_reference_state(official_recurrent.export(supernet))
    for mine, theirs in zip(ours, network(tokens, hidden), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_drawn_operations_alone_are_computed_and_the_others_weights_get_their_gradient():
    supernet = made()
    supernet.eval()
    columns = [1, 0, 2, 4, 0, 3]
    hot, active = one_hot(columns)
    tokens, targets, hidden = text()
    found = []
    for chosen in (None, {RECURRENT: active}):
        weights = hot.clone().requires_grad_()
        logs, _ = supernet(tokens, hidden, Mixing({RECURRENT: weights}, active=chosen))
        found.append((logs, torch.autograd.grad(loss_of(logs, targets), weights)[0]))
    (logs, grad), (drawn_logs, drawn_grad) = found
    torch.testing.assert_close(logs, drawn_logs, rtol=0, atol=1e-12)
    computed = [(edge, column) for edge, column in enumerate(columns) if column]
    for place in computed:
        torch.testing.assert_close(grad[place], drawn_grad[place], rtol=0, atol=1e-12)
    # Into one node, what is not computed is a number, and all numbers have one gradient.
    for first, last in ((0, 1), (1, 3), (3, 6)):
        rows = range(first, last)
        numbers = [drawn_grad[e, o] for e in rows for o in range(5) if (o,) != active[e]]
        torch.testing.assert_close(
            torch.stack(numbers), numbers[0].expand(len(numbers)), rtol=0, atol=1e-12
        )


def test_the_norm_moves_once_for_every_state_and_time_step():
    supernet = made()
    tokens, _, hidden = text(length=4)
    with statistics_kept(supernet):
        supernet(tokens, hidden)
    assert supernet.norm.num_batches_tracked == 0
    supernet(tokens, hidden)
    assert supernet.norm.num_batches_tracked == 4 * (NODES + 1)


def test_an_auxiliary_skip_adds_the_faded_state_itself():
    with_skip, without = made(auxiliary_skip=True), made()
    tokens, _, hidden = text()
    with_skip.stochastic.auxiliary = 0.0
    logs = [supernet(tokens, hidden)[0] for supernet in (with_skip, without)]
    torch.testing.assert_close(*logs, rtol=0, atol=1e-12)
    for supernet in (with_skip, without):
        supernet.nodes.data.zero_()
        supernet.norm = torch.nn.Identity()
    with_skip.stochastic.auxiliary = 0.5
    shares = torch.zeros(len(edges_of(NODES)), 5, dtype=torch.float64)
    shares[:, 4] = 1.0
    skipped = with_skip(tokens, hidden, {RECURRENT: shares})[0]
    # Matrices of zeros halve every state: s + 1/2 (0 - s). The skip adds the other half.
    doubled = without(tokens, hidden, {RECURRENT: 2 * shares})[0]
    torch.testing.assert_close(skipped, doubled, rtol=0, atol=1e-12)


def test_parameters_to_the_unit():
    with torch.device("meta"):
        supernet = RecurrentSupernet(10_000, 300)
    assert sum(weight.numel() for weight in supernet.weights()) == 4_810_000
    assert supernet.alphas.recurrent.shape == (36, 5)


def test_first_weights_come_from_named_streams():
    one, same, other = (RecurrentSupernet(WORDS, WIDTH, seed=seed) for seed in (1, 1, 2))
    torch.randn(3)
    for name, weight in one.named_parameters():
        assert torch.equal(weight, same.get_parameter(name))
    assert not torch.equal(one.nodes, other.nodes)
    assert one.decoder_bias.eq(0).all()
    drawn = torch.cat([w.flatten() for w in (one.embedding, one.first, one.nodes)])
    assert drawn.abs().max() <= SPREAD
    assert drawn.abs().max() > 0.9 * SPREAD


def test_autocast_keeps_states_and_probabilities_in_float32():
    supernet = RecurrentSupernet(WORDS, 16, nodes=NODES)
    tokens, targets, _ = text()
    hidden = supernet.first_hidden(3)
    exact, _ = supernet(tokens, hidden)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reading = supernet.read(tokens, hidden)
        loss = loss_of(reading.log_probabilities, targets)
    assert reading.log_probabilities.dtype == torch.float32
    assert reading.states.dtype == torch.float32
    torch.testing.assert_close(reading.log_probabilities, exact, rtol=0, atol=0.05)
    grads = torch.autograd.grad(loss, list(supernet.parameters()))
    assert all(g.isfinite().all() for g in grads)


def test_loading_refuses_what_does_not_fit():
    supernet = made()
    state = official_recurrent.export(supernet)
    before = supernet.first.clone()
    cases = (
        ({k: v for k, v in state.items() if k != "rnns.0._W0"}, None, "rnns.0._W0"),
        (state | {"rnns.0._Ws.7": state["rnns.0._Ws.0"]}, None, "rnns.0._Ws.7"),
        (state | {"decoder.weight": state["encoder.weight"] + 1}, None, "decoder.weight"),
        (state, torch.zeros(3, 5), RECURRENT),
    )
    for wrong, alphas, where in cases:
        with pytest.raises(CheckpointError) as error:
            supernet.load_reference_state(wrong, alphas)
        assert where in error.value.where
    assert torch.equal(supernet.first, before)
    other = made(seed=9)
    other.load_reference_state(state, {RECURRENT: supernet.alphas.recurrent.detach()})
    tokens, _, hidden = text()
    assert torch.equal(other(tokens, hidden)[0], supernet(tokens, hidden)[0])


def test_an_unknown_candidate_is_an_error():
    with pytest.raises(KeyError):
        RecurrentSupernet(WORDS, WIDTH, names=("none", "sine"))


def test_the_streams_of_a_step_give_the_masks():
    supernet = made(dropouts=ALL_DROPOUTS)
    tokens, _, hidden = text()
    logs = []
    for _ in range(2):
        supernet.stochastic.draws = streams.generator(7, "masks", 2, 5)
        logs.append(supernet(tokens, hidden)[0])
    assert torch.equal(*logs)


@pytest.mark.parametrize("order", [1, 2])
def test_the_bench_compares_equal_steps(order):
    supernet = made()
    ours, plain = bench.OurSearch(supernet), bench.PlainSearch(supernet)
    plain.network.double()
    train, valid = (bench.random_text(WORDS, 4, columns) for columns in (3, 5))
    if order == 1:
        ours.first_order(valid)
        plain.first_order(valid)
    else:
        ours.second_order(train, valid, 1e-4)
        plain.second_order(train, valid, 1e-4)
    (alpha,) = ours.alphas
    torch.testing.assert_close(alpha.grad, plain.alpha.grad, rtol=0, atol=1e-8)


def test_ours_and_the_plain_side_of_the_bench_agree_in_float64():
    assert bench.float64_difference() < 1e-12
