"""Where a step's time and memory go: the reading of traces, and a real one."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from engine_kit import TINY, TINY_SEARCH

from darts_engine.layers.depthwise import DepthwiseConv
from darts_engine.layers.operations import SepConv
from darts_engine.programs import profile
from darts_engine.programs.trace import (
    BETWEEN,
    CONVOLUTION,
    DEPTHWISE,
    MIXING,
    NORM,
    OTHER,
    RELU,
    STEP,
    Row,
    Tally,
)
from darts_engine.run.settings import config
from darts_engine.run.settings.config import SearchConfig
from darts_engine.supernet.supernet import Supernet

CONV_BACKWARD = "autograd::engine::evaluate_function: ConvolutionBackward0"


def op(name: str, start: float, end: float, **arguments: object) -> dict[str, object]:
    cat = "cpu_op" if "::" in name or name.startswith("Optimizer") else "user_annotation"
    arguments = {key.replace("_", " "): value for key, value in arguments.items()}
    return {"ph": "X", "cat": cat, "name": name, "ts": start, "dur": end - start, "args": arguments}


def memory(at: float, size: int) -> dict[str, object]:
    return {"ph": "i", "name": "[memory]", "ts": at, "args": {"Bytes": size}}


def tally(*events: dict[str, object]) -> tuple[Tally, Callable[[str], Row]]:
    """What a step of 10 ms with these events comes to."""
    found = Tally()
    found.add(json.dumps({"traceEvents": [op(STEP, 0, 10_000), *events]}).encode())
    return found, lambda kind: found.rows[kind]


def test_time_goes_to_the_label_around_an_operation_and_the_rest_lies_between() -> None:
    _, row = tally(
        op(DEPTHWISE, 1_000, 5_000),
        op("aten::permute", 1_000, 2_000),
        op("aten::conv2d", 2_000, 4_000),
        op("aten::relu", 6_000, 7_000),
        op("aten::outside", 11_000, 12_000),
    )
    assert (row(DEPTHWISE).forward_ms, row(DEPTHWISE).calls) == (3, 1)
    assert (row(RELU).forward_ms, row(RELU).calls) == (1, 1)
    assert row(BETWEEN).forward_ms == 6


def test_a_backward_belongs_to_the_operation_that_took_its_sequence_number_last() -> None:
    _, row = tally(
        op("aten::view", 0, 1_000, Sequence_number=7),
        op(DEPTHWISE, 1_000, 3_000),
        op("aten::conv2d", 1_000, 3_000, Sequence_number=7),
        op(CONV_BACKWARD, 4_000, 9_000, Sequence_number=7),
        op("aten::mul", 5_000, 6_000),
    )
    assert (row(DEPTHWISE).forward_ms, row(DEPTHWISE).backward_ms) == (2, 5)
    assert row(DEPTHWISE).calls == 1
    assert row(MIXING).backward_ms == 0


def test_a_cell_mixes_with_whatever_is_not_labelled_inside_it() -> None:
    _, row = tally(
        op("aten::mul", 0, 1_000),
        op(MIXING, 1_000, 5_000),
        op("aten::mul", 1_000, 3_000),
        op(NORM, 3_000, 5_000),
        op("aten::mul", 3_000, 5_000),
    )
    assert [row(kind).forward_ms for kind in (OTHER, MIXING, NORM)] == [1, 2, 2]


def test_memory_counts_what_is_asked_for_and_the_most_held_at_a_time() -> None:
    found, row = tally(
        op(NORM, 0, 9_000),
        memory(1, 3_000_000),
        memory(2, -3_000_000),
        memory(3, 2_000_000),
    )
    assert row(NORM).allocated_mb == 5
    assert found.peak_bytes == 3_000_000


def test_a_kernel_belongs_to_the_operation_that_launched_it() -> None:
    launch = op("cudaLaunchKernel", 100, 200, correlation=9) | {"cat": "cuda_runtime"}
    kernel = op("void kernel", 5_000, 8_000, correlation=9) | {"cat": "kernel"}
    named = {"ph": "M", "name": "process_name", "ts": 0, "args": {"Bytes": "no number"}}
    _, row = tally(op(DEPTHWISE, 0, 1_000), op("aten::conv2d", 0, 500), launch, kernel, named)
    assert row(DEPTHWISE).device_ms == 3
    assert row(DEPTHWISE).forward_ms == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2])
def test_the_kinds_of_a_real_step_add_up_and_count_its_modules(tmp_path: Path, order: int) -> None:
    tiny = TINY | TINY_SEARCH | {"space.nodes": 2, "search.order": order}
    chosen = config.override(SearchConfig(), tiny)
    assert isinstance(chosen, SearchConfig)
    report = profile.measure(chosen, 1, tmp_path / "trace.json.gz")
    rows = {row.kind: row for row in report.kinds}

    supernet = Supernet(channels=2, layers=3, nodes=2)
    # The two edges that leave each of a cell's inputs are one; the second node's edge is its own.
    edges = [
        edge for cell in supernet.cells for edge in (cell.edges[0], cell.edges[1], cell.edges[4])
    ]
    parts = [part for edge in edges for part in edge.modules()]
    # Those of the state are composed with the pointwise ones, what follows in a `SepConv` is not.
    depthwise = sum(isinstance(part, SepConv) for part in parts)
    composed = sum(isinstance(part, DepthwiseConv) for part in parts) - depthwise
    # One forward pass for the weights; one for alpha, or four: two losses, two differences.
    passes = 2 if order == 1 else 5
    assert rows[DEPTHWISE].calls == depthwise * passes
    # The halves of two cells' factorized reductions, from two states each. Those between cells are
    # modules of their own, pointwise ones.
    stem, halves = 1, 2 * 2 * 2
    assert rows[CONVOLUTION].calls == (composed + stem + halves) * passes
    assert sum(row.forward_ms + row.backward_ms for row in report.kinds) == pytest.approx(
        report.ms, rel=0.1
    )
    assert sum(row.share for row in report.kinds) == pytest.approx(1, abs=0.01)
    for kind in (DEPTHWISE, NORM, MIXING, RELU):
        assert rows[kind].backward_ms > 0
    convolutions = rows[DEPTHWISE].backward_ms + rows[CONVOLUTION].backward_ms
    assert rows[OTHER].backward_ms < 0.1 * convolutions
    assert 0 < report.peak_mb < report.allocated_mb
    assert DEPTHWISE in profile.table(report)
    with gzip.open(tmp_path / "trace.json.gz") as trace:
        assert json.load(trace)["traceEvents"]
    assert torch.autograd.is_multithreading_enabled()
