"""From random alphas to genotypes, beside each paper's rule in a few lines.

Every third of the alphas has ties.
"""

import numpy as np
import pytest
import torch
from tests.conformance.official_cells import CELLS, shares
from tests.conformance.steps_kit import search

COUNT = 500
# How many parents nodes 1, 2, ... and the output keep (arXiv 2001.10422, table 1 and code).
PARENTS = {
    "1shot1-1": (1, 2, 2, 2, 2),
    "1shot1-2": (1, 1, 2, 2, 3),
    "1shot1-3": (1, 1, 1, 2, 2, 2),
}


def drawn(task, number):
    """The alphas of a number, put into the search; every third takes only three values."""
    draws = torch.Generator().manual_seed(number)
    alphas = {}
    with torch.no_grad():
        for name, alpha in task.supernet.alphas.named_parameters():
            values = torch.randn(alpha.shape, generator=draws, dtype=torch.float64)
            # Gates of FairDARTS open at 0.85, which is an alpha of 1.7.
            values = values.round() if number % 3 == 0 else 2 * values
            alphas[name] = alpha.copy_(values).clone()
    return alphas


def derived(task):
    return task.space.derive(task.method.strengths())


def two_edges(rows, names):
    """(operation, input, weight) of each node's two strongest edges, `none` left out; by node.

    The first of equal operations, and of equal edges, comes first.
    """
    nodes, start = [], 0
    while start < len(rows):
        edges = []
        for source in range(len(nodes) + 2):
            row, candidates = rows[start + source], names[start + source]
            pairs = [(w, n) for w, n in zip(row, candidates, strict=True) if n != "none"]
            weight = max(w for w, _ in pairs)
            name = next(n for w, n in pairs if w == weight)
            edges.append((name, source, weight))
        nodes.append(sorted(edges, key=lambda edge: edge[2], reverse=True)[:2])
        start += len(edges)
    return nodes


def mixing(alphas, cell):
    return torch.softmax(alphas[cell], -1)


def product(alphas, cell):
    rows = mixing(alphas, cell)
    factors = torch.stack(list(shares(alphas[f"{cell}_edges"], len(rows))))
    return rows * factors[:, None]


@pytest.mark.parametrize(
    ("settings", "weigh"),
    [
        ({"search__method": "darts"}, mixing),
        ({"search__method": "pc-darts", "space__channels": 8}, product),
        ({"space__space": "s1"}, mixing),
        ({"space__space": "s2"}, mixing),
        ({"space__space": "s3"}, mixing),
        ({"space__space": "s4"}, mixing),
    ],
)
def test_two_edges_of_each_node(settings, weigh):
    """DARTS, section 2.4: ranked by softmax(alpha), in PC-DARTS times the edge's share."""
    task = search(space__nodes=4, **{"space__channels": 2} | settings)
    names = task.space.candidates()
    for number in range(COUNT):
        alphas, genotype = drawn(task, number), derived(task)
        for cell in CELLS:
            nodes = two_edges(weigh(alphas, cell).tolist(), names[cell])
            parts = tuple((name, source) for node in nodes for name, source, _ in node)
            assert genotype.cell(cell) == (parts, (2, 3, 4, 5))


def test_open_gates_of_fair_darts():
    """Of a node's two strongest edges those whose gate sigmoid(alpha) is at least 0.85."""
    task = search(search__method="fair-darts", space__channels=2, space__nodes=4)
    names, kept = task.space.candidates(), []
    for number in range(COUNT):
        alphas, genotype = drawn(task, number), derived(task)
        for cell in CELLS:
            nodes = two_edges(torch.sigmoid(alphas[cell]).tolist(), names[cell])
            parts = tuple(
                (name, 2 + place, source)
                for place, node in enumerate(nodes)
                for name, source, gate in node
                if gate >= 0.85
            )
            assert genotype.cell(cell)[0] == parts
            kept.append(len(parts))
    assert min(kept) < 8
    assert max(kept) == 8


def test_nasnet_like_joins_the_loose_ends():
    """Two edges of each node, and the output of the nodes that no other takes (1707.07012)."""
    task = search(space__space="nasnet-like", space__channels=2, space__nodes=5)
    names = task.space.candidates()
    for number in range(COUNT // 5):
        alphas, genotype = drawn(task, number), derived(task)
        for cell in CELLS:
            nodes = two_edges(mixing(alphas, cell).tolist(), names[cell])
            parts = tuple((name, source) for node in nodes for name, source, _ in node)
            loose = set(range(2, 7)) - {source for _, source in parts}
            assert genotype.cell(cell) == (parts, tuple(sorted(loose)))


def test_nasbench201_keeps_every_edge():
    """The first of the strongest operations of each edge, `none` among them."""
    task = search(space__space="nasbench201", space__nodes=3, space__channels=2)
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    edges = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    for number in range(COUNT):
        columns = np.argmax(mixing(drawn(task, number), "cell").numpy(), axis=1)
        parts = tuple((names[c], *edge) for c, edge in zip(columns, edges, strict=True))
        assert derived(task).normal == parts


def kept_parents(genotype, node):
    return {edge.input for edge in genotype.edges("cell") if edge.node == node}


def strongest(row, count, *, later):
    """The `count` strongest states; of equal ones the later, or the earlier."""
    order = sorted(range(len(row)), key=lambda state: (row[state], state if later else -state))
    return set(order[-count:])


@pytest.mark.parametrize("space", PARENTS)
def test_operations_and_parents_of_1shot1(space):
    """The strongest operation of each node, and as many parents as the space gives."""
    counts = PARENTS[space]
    task = search(space__space=space, space__nodes=len(counts) - 1, space__channels=2)
    names = ("maxpool3x3", "conv3x3_bn_relu", "conv1x1_bn_relu")
    for number in range(COUNT):
        alphas, genotype = drawn(task, number), derived(task)
        best = np.argmax(mixing(alphas, "operations").numpy(), axis=1)
        found = {e.node: e.operation for e in genotype.edges("cell") if e.node < len(counts)}
        assert found == {node: names[column] for node, column in enumerate(best, 1)}
        for node, count in enumerate(counts, 1):
            row = torch.softmax(alphas.get(f"parents{node}", torch.zeros(1, node))[0], 0).tolist()
            kept = kept_parents(genotype, node)
            assert kept == strongest(row, count, later=False)
            if len(set(row)) == len(row):
                # What the official code computes: the last of a partition.
                assert kept == set(np.argpartition(row, -count)[-count:].tolist())


def test_of_equal_parents_the_official_code_keeps_the_later_and_ours_the_earlier():
    """It only matters before alpha has moved, or where it rests."""
    task = search(space__space="1shot1-3", space__nodes=5, space__channels=2)
    with torch.no_grad():
        for alpha in task.supernet.alphas.parameters():
            alpha.zero_()
    ours = {node: kept_parents(derived(task), node) for node in (2, 3, 4, 5, 6)}
    assert ours == {2: {0}, 3: {0}, 4: {0, 1}, 5: {0, 1}, 6: {0, 1}}
    counts = dict(enumerate(PARENTS["1shot1-3"], 1))
    official = {
        node: set(np.argpartition(np.ones(node), -counts[node])[-counts[node] :].tolist())
        for node in ours
    }
    assert official == {2: {1}, 3: {2}, 4: {2, 3}, 5: {3, 4}, 6: {4, 5}}
    assert official == {n: strongest([1.0] * n, counts[n], later=True) for n in ours}
