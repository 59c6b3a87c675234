"""The rules of FairDARTS, GDAS and P-DARTS, and edges with operations of their own."""

from darts_engine.run.architecture import derivation

OPERATIONS = ["none", "skip_connect", "sep_conv_3x3"]
# Two nodes: edges 0-2, 1-2 and 0-3, 1-3, 2-3.
ROWS = [
    [0.9, 0.7, 0.3],
    [0.0, 0.2, 0.6],
    [0.0, 0.86, 0.87],
    [0.0, 0.1, 0.3],
    [0.0, 0.5, 0.1],
]


def test_the_two_strongest_edges_by_their_best_operation():
    assert derivation.derive_cell(ROWS, OPERATIONS) == (
        ("skip_connect", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 2),
    )  # fmt: skip


def test_joint_may_keep_two_operations_of_one_edge():
    assert derivation.derive_joint(ROWS, OPERATIONS)[2:] == (
        ("sep_conv_3x3", 0), ("skip_connect", 0),
    )  # fmt: skip


def test_a_threshold_may_leave_a_node_alone():
    assert derivation.derive_threshold(ROWS, OPERATIONS, 0.85) == (("sep_conv_3x3", 3, 0),)
    genotype = derivation.derive(
        {"normal": ROWS, "reduce": ROWS}, OPERATIONS, derivation.derive_threshold
    )
    assert [edge.node for edge in genotype.edges("normal")] == [3]


def test_too_many_skips_lose_the_weakest_first():
    limited = derivation.derive_skip_limited(ROWS, OPERATIONS, most=1)
    assert limited == (
        ("skip_connect", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
    )  # fmt: skip
    none = derivation.derive_skip_limited(ROWS, OPERATIONS, most=0)
    assert all(part[0] != "skip_connect" for part in none)


def test_edges_may_have_operations_of_their_own():
    names = [["skip_connect", "dil_conv_3x3"], ["max_pool_3x3", "skip_connect"]]
    assert derivation.derive_cell([[0.4, 0.6], [0.7, 0.3]], names) == (
        ("max_pool_3x3", 1), ("dil_conv_3x3", 0),
    )  # fmt: skip
