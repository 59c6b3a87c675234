"""From mixing weights to a genotype: the published rule and its ties."""

import heapq
import random

import pytest
from fake_story import EDGES, OPERATIONS

from darts_engine.run.architecture import derivation
from darts_engine.run.architecture.derivation import (
    changes,
    derive,
    derive_cell,
    node_count,
    softmax,
)
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import GenotypeError

NONE = OPERATIONS.index("none")
SKIP = OPERATIONS.index("skip_connect")
SEP = OPERATIONS.index("sep_conv_3x3")


def flat() -> list[list[float]]:
    return [[0.0] * len(OPERATIONS) for _ in EDGES]


def rule(weights: list[list[float]]) -> list[tuple[str, int]]:
    """Section 2.4 of the DARTS paper, said again by edge lookup instead of slices."""
    kept = []
    for node in range(2, 6):
        ranked = []
        for row, (source, target) in zip(weights, EDGES, strict=True):
            if target == node:
                strength, earlier = max((w, -o) for o, w in enumerate(row) if o != NONE)
                ranked.append((-strength, source, OPERATIONS[-earlier]))
        kept += [(operation, source) for _, source, operation in heapq.nsmallest(2, ranked)]
    return kept


def test_equal_alphas_keep_the_first_operation_on_the_first_two_inputs() -> None:
    cell = softmax(flat())
    genotype = derive({"normal": cell, "reduce": cell}, OPERATIONS)
    assert genotype.normal == (("max_pool_3x3", 0), ("max_pool_3x3", 1)) * 4
    assert genotype.reduce == genotype.normal
    assert genotype.normal_concat == (2, 3, 4, 5)


@pytest.mark.parametrize("digits", [None, 1])
def test_two_thousand_random_alphas_agree_with_the_published_rule(digits: int | None) -> None:
    # Rounded alphas make ties, of operations and of edges.
    draws = random.Random(digits or 0)
    for _ in range(1000):
        alpha = [[draws.gauss(0, 1) for _ in OPERATIONS] for _ in EDGES]
        weights = softmax(alpha)
        if digits:
            weights = [[round(w, digits) for w in row] for row in weights]
        assert list(derive_cell(weights, OPERATIONS)) == rule(weights)


def test_edges_are_listed_by_strength() -> None:
    alpha = flat()
    alpha[EDGES.index((1, 2))][SEP] = 2.0
    assert derive_cell(softmax(alpha), OPERATIONS)[:2] == (
        ("sep_conv_3x3", 1),
        ("max_pool_3x3", 0),
    )


def test_a_large_none_lowers_an_edge_without_ever_being_chosen() -> None:
    alpha = flat()
    for source in range(3):
        alpha[EDGES.index((source, 3))][SEP] = 2.0 - source / 10
    assert [source for _, source in derive_cell(softmax(alpha), OPERATIONS)[2:4]] == [0, 1]
    alpha[EDGES.index((0, 3))][NONE] = 5.0
    kept = derive_cell(softmax(alpha), OPERATIONS)
    assert [source for _, source in kept[2:4]] == [1, 2]
    assert all(operation != "none" for operation, _ in kept)


def test_ranking_probabilities_differs_from_ranking_raw_alphas() -> None:
    alpha = flat()
    alpha[EDGES.index((0, 3))] = [3.0] * len(OPERATIONS)
    alpha[EDGES.index((1, 3))][SKIP] = 1.0
    alpha[EDGES.index((2, 3))][SKIP] = 0.5
    by_probability = derive_cell(softmax(alpha), OPERATIONS)[2:4]
    by_logit = derive_cell(alpha, OPERATIONS)[2:4]
    assert [source for _, source in by_probability] == [1, 2]
    assert [source for _, source in by_logit] == [0, 1]


def test_a_space_without_none_ranks_all_its_operations() -> None:
    rows = [[0.1, 0.9], [0.6, 0.4]]
    assert derive_cell(rows, ["skip_connect", "sep_conv_3x3"]) == (
        ("sep_conv_3x3", 0),
        ("skip_connect", 1),
    )


def test_softmax_stands_large_alphas() -> None:
    assert softmax([[1e4, 1e4], [-1e4, 0.0]]) == [[0.5, 0.5], [0.0, 1.0]]


@pytest.mark.parametrize(("edges", "nodes"), [(2, 1), (5, 2), (9, 3), (14, 4), (90, 12)])
def test_the_number_of_edges_tells_the_number_of_nodes(edges: int, nodes: int) -> None:
    assert node_count(edges) == nodes


@pytest.mark.parametrize("edges", [0, 1, 3, 13, 15])
def test_other_numbers_of_edges_are_refused(edges: int) -> None:
    with pytest.raises(GenotypeError):
        node_count(edges)


def test_changes_name_what_left_and_what_came_and_ignore_order() -> None:
    alpha = flat()
    before = derive({"normal": alpha, "reduce": alpha}, OPERATIONS)
    moved = [list(row) for row in alpha]
    moved[EDGES.index((2, 4))][SEP] = 1.0
    after = derive({"normal": moved, "reduce": alpha}, OPERATIONS)
    (change,) = changes(before, after)
    assert (change.cell, change.node) == ("normal", 4)
    assert change.added == ["sep_conv_3x3(2)"]
    assert change.removed == ["max_pool_3x3(1)"]
    assert changes(None, after) == []

    alpha[EDGES.index((1, 2))][1] = 0.5
    reordered = derive({"normal": alpha, "reduce": flat()}, OPERATIONS)
    assert reordered != before
    assert changes(before, reordered) == []


def test_the_derived_form_is_that_of_the_published_cells() -> None:
    shape = derive({"normal": flat(), "reduce": flat()}, OPERATIONS)
    darts = published()["DARTS_V2"].genotype
    assert len(shape.normal) == len(darts.normal) == 4 * derivation.INPUTS_PER_NODE
    assert shape.normal_concat == darts.normal_concat
