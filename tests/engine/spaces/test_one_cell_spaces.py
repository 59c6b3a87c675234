"""NAS-Bench-201 and NAS-Bench-1Shot1: their networks against independent computations."""

import itertools
import math

import pytest
import torch
from torch.nn import functional

from darts_engine.layers.norm import BatchNorm
from darts_engine.networks import nasbench201
from darts_engine.networks.nasbench101 import Module101, Network101, parents_name
from darts_engine.networks.nasbench201 import CELL, Network201, ResidualBlock
from darts_engine.run.architecture.derivation_one_cell import derive_edges, derive_nodes, edges_of
from darts_engine.run.architecture.nasbench import node_channels
from darts_engine.run.architecture.size import network_size
from darts_engine.run.architecture.spaces import NASBENCH201_OPERATIONS, ONE_SHOT_OPERATIONS, SPECS
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import catalog
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.spaces.space import Space
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.nasbench201 import Supernet201
from darts_engine.supernet.oneshot import OneShotSupernet, SearchCell101

ALL_3X3 = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
BEST = ALL_3X3[: -len("|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|")] + (
    "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
SMALL = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
    "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
)
# A cell that NAS-Bench-101's page shows, with the parameters that its table has for it.
EXAMPLE = (
    '{"matrix":[[0,1,1,1,0,1,0],[0,0,0,0,0,0,1],[0,0,0,0,0,0,1],[0,0,0,0,1,0,0],[0,0,0,0,0,0,1],'
    '[0,0,0,0,0,0,1],[0,0,0,0,0,0,0]],"ops":["input","conv1x1-bn-relu","conv3x3-bn-relu",'
    '"conv3x3-bn-relu","conv3x3-bn-relu","maxpool3x3","output"]}'
)
EXAMPLE_PARAMETERS = 2_694_282
ONE_SHOT = [name for name, spec in SPECS.items() if spec.parents]


def space_of(name: str, **changes: object) -> Space:
    asked = {"space.space": name, "space.channels": 4, "space.layers": 3} | changes
    made = catalog.resolve("space", catalog.SPACES, name)(configs.override(SearchConfig(), asked))
    assert isinstance(made, Space)
    return made


# NAS-Bench-201 ------------------------------------------------------------------------------------


def test_a_cell_is_the_sum_over_all_paths_of_its_definition():
    torch.manual_seed(0)
    supernet = Supernet201(channels=4, layers=3).double()
    cell = supernet.cells[0]
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    weights = torch.rand(6, 5, dtype=torch.float64)
    states = [x]
    for node in (1, 2, 3):
        total = torch.zeros_like(x)
        for row, (source, target) in enumerate(edges_of(3)):
            if target != node:
                continue
            state, edge = states[source], cell.edges[row]
            outputs = {
                "none": torch.zeros_like(state),
                "skip_connect": state,
                "avg_pool_3x3": functional.avg_pool2d(state, 3, 1, 1, count_include_pad=False),
            }
            for name in ("nor_conv_1x1", "nor_conv_3x3"):
                conv = edge.weighted[name].conv
                assert conv.bias is not None
                made = functional.conv2d(state.relu(), conv.weight, conv.bias, 1, "same")
                outputs[name] = functional.batch_norm(made, None, None, training=True)
            for column, name in enumerate(NASBENCH201_OPERATIONS):
                total = total + weights[row, column] * outputs[name]
        states.append(total)
    torch.testing.assert_close(cell(x, weights), states[3], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("text", "parameters", "classes", "multiply_adds"),
    [
        (ALL_3X3, 1_531_546, 10, 220.12),
        (ALL_3X3, 1_537_396, 100, None),
        (BEST, 1_288_506, 10, None),
        (ALL_3X3.replace("nor_conv_3x3", "skip_connect"), 73_306, 10, 7.78),
        (ALL_3X3.replace("nor_conv_3x3", "none"), 79_156, 100, None),
        (SMALL, 129_306, 10, None),
    ],
)
def test_networks_have_the_published_size(text, parameters, classes, multiply_adds):
    genotype = parse(text)
    network = Network201(genotype, classes=classes)
    assert sum(p.numel() for p in network.parameters()) == parameters
    counted = network_size(genotype, classes=classes)
    assert counted.parameters == parameters
    if multiply_adds is not None:
        assert counted.multiply_adds / 1e6 == pytest.approx(multiply_adds, abs=0.005)


def test_a_derived_cell_is_the_supernets_cell_at_its_genotype():
    genotype = parse(
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    )
    space = space_of("nasbench201")
    supernet = space.supernet(1, 10)
    cut = space.cut(genotype, torch.zeros(()))
    assert space.derive(cut.weights) == genotype
    network = Network201(genotype, channels=4, layers=3, in_channels=1)
    for ours, theirs in zip(network.cells, supernet.cells, strict=True):
        for edge, operation in zip(ours.edges, ours.operations, strict=True):
            row = edges_of(3).index((edge.input, edge.node))
            if edge.operation.startswith("nor_conv"):
                source = theirs.edges[row].weighted[edge.operation].conv.weight
                operation[1].conv.load_state_dict({"weight": source})
    for name in ("stem", "blocks", "norm", "classifier"):
        getattr(network, name).load_state_dict(getattr(supernet, name).state_dict())
    images = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(network(images)[0], supernet(images, cut), rtol=1e-4, atol=1e-5)


def test_a_cell_without_a_path_gives_zeros_and_still_learns_what_is_behind_it():
    network = Network201(parse(ALL_3X3.replace("nor_conv_3x3", "none")), channels=4, layers=3)
    logits, auxiliary = network(torch.randn(2, 3, 8, 8))
    assert auxiliary is None
    logits.sum().backward()
    assert network.classifier.bias.grad is not None


def test_odd_sizes_are_rounded_up():
    assert ResidualBlock(2, 4)(torch.randn(2, 2, 7, 5)).shape == (2, 4, 4, 3)


def test_every_edge_takes_its_strongest_operation_none_like_any_other():
    weights = [[0.2] * 5 for _ in range(6)]
    weights[1][3] = 0.3
    weights[5][1] = 0.9
    text = derive_edges(weights, NASBENCH201_OPERATIONS).text()
    assert text == "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
    gates = [[0.1, 0.9, 0.2, 0.3]] * 5 + [[0.1, 0.2, 0.3, 0.4]]
    names = NASBENCH201_OPERATIONS[1:]
    assert derive_edges(gates, names, 0.85).edges(CELL)[-1].operation == "none"


def test_the_tie_between_text_and_genotype_holds_for_every_architecture_of_two_nodes():
    for names in itertools.product(NASBENCH201_OPERATIONS, repeat=3):
        text = f"|{names[0]}~0|+|{names[1]}~0|{names[2]}~1|"
        assert parse(text).text() == text


# NAS-Bench-1Shot1 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONE_SHOT)
def test_a_cell_weighs_parents_and_operations_as_the_paper_has_it(name: str):
    torch.manual_seed(0)
    spec = SPECS[name]
    cell = SearchCell101(ONE_SHOT_OPERATIONS, spec.nodes, 3, 4).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    operations = torch.rand(spec.nodes, 3, dtype=torch.float64)
    parents = {node: torch.rand(1, node, dtype=torch.float64) for node in spec.choices}

    def conv_norm_relu(part: torch.nn.Module, state: torch.Tensor) -> torch.Tensor:
        made = functional.conv2d(state, part.conv.weight, padding="same")
        normed = functional.batch_norm(made, None, None, part.norm.weight, part.norm.bias, True)
        return normed.relu()

    states = []
    for node in range(1, spec.nodes + 1):
        before = [conv_norm_relu(cell.projections[node - 1], x), *states]
        shares = parents[node][0] if node in parents else torch.ones(node)
        total = sum(share * state for share, state in zip(shares, before, strict=True))
        pool, *convolutions = cell.nodes[node - 1].operations
        del pool
        outputs = [functional.max_pool2d(total, 3, 1, 1)]
        outputs += [conv_norm_relu(part, total) for part in convolutions]
        states.append(sum(w * o for w, o in zip(operations[node - 1], outputs, strict=True)))
    shares = parents[spec.nodes + 1][0]
    joined = torch.cat([w * s for w, s in zip(shares[1:], states, strict=True)], 1)
    expected = joined + shares[0] * conv_norm_relu(cell.output, x)
    torch.testing.assert_close(cell(x, operations, parents), expected, rtol=1e-10, atol=1e-10)


def test_the_resolution_follows_the_code_with_its_border_of_one_pixel():
    supernet = OneShotSupernet((3, 4, 5), channels=4, layers=9)
    sides = []
    for cell in supernet.cells:
        cell.register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    supernet(torch.randn(2, 3, 32, 32))
    assert sides == [32] * 3 + [17] * 3 + [9] * 3


def test_the_momentum_of_batch_norm_is_what_was_asked_and_not_the_trap():
    assert {m.momentum for m in space_of("1shot1-1").supernet(1, 10).modules()
            if isinstance(m, BatchNorm)} == {0.1}  # fmt: skip
    asked = space_of("1shot1-1", **{"space.bn_momentum": 0.003}).supernet(1, 10)
    assert asked.stem.norm.momentum == 0.003
    # A batch counts for that much of the running mean.
    asked.stem.norm(torch.full((2, 4, 3, 3), 5.0) + torch.randn(2, 4, 3, 3))
    assert asked.stem.norm.running_mean.mean() == pytest.approx(0.015, abs=3e-3)


@pytest.mark.parametrize("name", ONE_SHOT)
def test_each_node_keeps_as_many_parents_as_the_space_says(name: str):
    spec = SPECS[name]
    assert sum(spec.parents) <= 9
    torch.manual_seed(3)
    weights = {"operations": torch.rand(spec.nodes, 3)}
    weights |= {parents_name(node): torch.rand(1, node) for node in spec.choices}
    space = space_of(name)
    genotype = space.derive(weights)
    into = [sum(e.node == n for e in genotype.edges(CELL)) for n in range(1, spec.nodes + 2)]
    assert tuple(into) == spec.parents
    for node in spec.choices:
        best = weights[parents_name(node)][0].topk(spec.parents[node - 1]).indices.tolist()
        assert {e.input for e in genotype.edges(CELL) if e.node == node} == set(best)
    cut = space.cut(genotype, torch.zeros(()))
    assert space.derive(cut.weights) == genotype
    assert parse(genotype.text()) == genotype
    shown = space.tables({name: matrix.tolist() for name, matrix in weights.items()})
    assert all(torch.equal(space.raw(shown)[name], weights[name]) for name in weights)
    assert [len(shown[c.name]) for c in space.layout()] == [len(c.edges) for c in space.layout()]


def test_equal_weights_keep_the_first():
    genotype = derive_nodes([[1 / 3] * 3] * 2, ONE_SHOT_OPERATIONS, {3: [1 / 3] * 3}, (1, 2, 2))
    assert genotype.matrix() == {
        "matrix": [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]],
        "ops": ["input", "maxpool3x3", "maxpool3x3", "output"],
    }


# NAS-Bench-101 ------------------------------------------------------------------------------------


def test_the_example_of_the_benchmark_has_its_published_parameters():
    genotype = parse(EXAMPLE)
    assert sum(p.numel() for p in Network101(genotype).parameters()) == EXAMPLE_PARAMETERS
    assert network_size(genotype).parameters == EXAMPLE_PARAMETERS


def test_nodes_share_the_channels_and_surplus_ones_are_cut_off():
    text = (
        '{"matrix":[[0,1,1,0,1],[0,0,1,1,1],[0,0,0,0,1],[0,0,0,0,1],[0,0,0,0,0]],'
        '"ops":["input","maxpool3x3","conv3x3-bn-relu","conv1x1-bn-relu","output"]}'
    )
    genotype = parse(text)
    assert node_channels(genotype, 7) == {4: 7, 1: 3, 2: 2, 3: 2}
    torch.manual_seed(0)
    module = Module101(genotype, 5, 7).double()
    x = torch.randn(2, 5, 4, 4, dtype=torch.float64)
    project = module.projections
    first = functional.max_pool2d(project["1"](x), 3, 1, 1)
    second = module.operations["2"](first[:, :2] + project["2"](x))
    third = module.operations["3"](first[:, :2])
    expected = torch.cat([first, second, third], 1) + project["4"](x)
    torch.testing.assert_close(module(x), expected)


def test_what_leads_nowhere_costs_nothing():
    dead = parse(
        '{"matrix":[[0,1,1,1],[0,0,0,1],[0,0,0,0],[0,0,0,0]],'
        '"ops":["input","conv3x3-bn-relu","conv3x3-bn-relu","output"]}'
    )
    without = parse(
        '{"matrix":[[0,1,1],[0,0,1],[0,0,0]],"ops":["input","conv3x3-bn-relu","output"]}'
    )
    assert network_size(dead) == network_size(without)
    sizes = [sum(p.numel() for p in Network101(g, channels=8).parameters())
             for g in (dead, without)]  # fmt: skip
    assert sizes[0] == sizes[1] == network_size(dead, channels=8).parameters


# Both ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nasbench201", "1shot1-2"])
def test_what_is_not_computed_has_a_gradient_all_the_same(name: str):
    space = space_of(name)
    supernet = space.supernet(1, 10)
    weights = {n: m.clone().requires_grad_() for n, m in supernet.alphas.mixing().items()}
    for matrix in weights.values():
        matrix.retain_grad()
    first = next(iter(weights))
    active = {first: [(1,)] * len(weights[first])}
    supernet(torch.randn(2, 1, 8, 8), Mixing(weights, active=active)).square().sum().backward()
    gradient = weights[first].grad
    assert gradient is not None
    assert (gradient != 0).all()


@pytest.mark.parametrize("name", ["nasbench201", "1shot1-1"])
def test_recomputed_cells_give_the_same_numbers(name: str):
    outputs = []
    for recomputes in (False, True):
        supernet = space_of(name).supernet(1, 10).double()
        supernet.recomputes = recomputes
        logits = supernet(torch.linspace(-1, 1, 128, dtype=torch.float64).view(2, 1, 8, 8))
        logits.square().sum().backward()
        gradients = [p.grad for p in supernet.parameters()]
        outputs.append([logits, *gradients, *supernet.buffers()])
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("space", "changes", "reason"),
    [
        ("nasbench201", {"search.method": "pc-darts"}, "partial channels"),
        ("nasbench201", {"search.method": "sgas"}, "greedy schedule"),
        ("1shot1-1", {"search.method": "p-darts"}, "staged schedule"),
        ("1shot1-2", {"search.method": "darts-minus"}, "nodes compute"),
        ("1shot1-3", {"space.nodes": 4}, "has 5 nodes, not 4"),
        ("nasbench201", {"space.nodes": 4}, "has 3 nodes, not 4"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(space, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        configs.override(SearchConfig(), {"space.space": space, "search.epochs": 9} | changes)


def test_a_space_brings_its_nodes_and_takes_them_with_it():
    five = configs.override(SearchConfig(), {"space.space": "1shot1-3"})
    assert five.space.nodes == 5
    assert configs.override(five, {"space.space": "darts"}).space.nodes == 4
    assert configs.override(five, {"space.space": "1shot1-3"}).space.nodes == 5
    assert configs.from_plain({"space": {"space": "nasnet-like"}}).space.nodes == 5
    assert configs.from_plain({"space": {"space": "nasnet-like", "nodes": 3}}).space.nodes == 3


def test_the_entropy_of_equal_weights_is_the_logarithm():
    from darts_engine.search.architecture_report import entropy

    assert entropy([[0.25] * 4, [0.5, 0.5, None, None]]) == pytest.approx(
        (math.log(4) + math.log(2)) / 2, abs=1e-6
    )
    assert nasbench201.CELL == "cell"
