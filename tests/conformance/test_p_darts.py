"""P-DARTS: pruning, the last genotype, skip dropout and a step, against the official rule.

github.com/chenxin061/pdarts, commit 05addf34, train_search.py. Its `none` is column 0 and its
`skip_connect` column 3 of eight; an edge's row has only the candidates that are left.
"""

import math

import numpy as np
import pytest
import torch
from tests.conformance.official_cells import CELLS, OfficialCells
from tests.conformance.steps_kit import (
    CLASSES,
    DoubleSearch,
    Reference,
    batch,
    differences,
    recorded_draws,
    search,
)
from torch import nn

from darts_engine.layers.operations import PRIMITIVES
from darts_engine.methods.schedules import staged
from darts_engine.run.architecture.derivation import derive_skip_limited
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

# Below the gradients of the steps here, so that all of them are clipped.
CLIP = 0.01
NODES = [(0, 2), (2, 5), (5, 9), (9, 14)]


def official_pruning(names: list[str], row: list[float], drop: int) -> list[str]:
    """An edge's candidates without the `drop` weakest; of equals, the first goes first."""
    left = dict(enumerate(row))
    for _ in range(drop):
        del left[min(left, key=lambda column: left[column])]
    return [names[column] for column in left]


def strongest(names: list[str], row: dict[int, float]) -> int:
    """The candidate that is left when `none` and then the weakest of the others are dropped."""
    left = {column: weight for column, weight in row.items() if names[column] != "none"}
    while len(left) > 1:
        del left[min(left, key=lambda column: left[column])]
    return next(iter(left))


def official_cell(names: list[list[str]], rows: list[list[float]], most: int):
    """(operation, input) of each kept edge, node by node in the order of the inputs.

    The first node keeps both its edges; another keeps the two of the largest weight other than that
    of `none`, of equals the later inputs. While more than `most` skips are kept, the kept skip of
    the smallest weight (of equals the first) gets weight 0, and everything is chosen again.
    """
    weights = [
        {c: 0.0 if edge[c] == "none" else value for c, value in enumerate(row)}
        for edge, row in zip(names, rows, strict=True)
    ]
    while True:
        kept = [0, 1]
        for start, end in NODES[1:]:
            kept += sorted(range(start, end), key=lambda e: max(weights[e].values()))[-2:]
        chosen = {edge: strongest(names[edge], weights[edge]) for edge in sorted(kept)}
        skips = {
            edge: weights[edge][column]
            for edge, column in chosen.items()
            if names[edge][column] == "skip_connect"
        }
        if len(skips) <= most:
            return [
                [(names[e][chosen[e]], e - start) for e in range(start, end) if e in chosen]
                for start, end in NODES
            ]
        weakest = min(skips, key=lambda edge: skips[edge])
        weights[weakest][chosen[weakest]] = 0.0


def our_cell(names: list[list[str]], rows: list[list[float]], most: int):
    """Ours likewise; it lists a node's edges by their strength."""
    parts = derive_skip_limited(rows, names, most)
    return [sorted(parts[2 * n : 2 * n + 2], key=lambda part: part[1]) for n in range(4)]


def a_stage(draws: np.random.Generator, count: int) -> tuple[list[list[str]], list[list[float]]]:
    """`count` candidates on each of 14 edges, many of them skips, and their mixing weights."""
    names, rows = [], []
    for _ in range(14):
        odds = np.where([name == "skip_connect" for name in PRIMITIVES], 4, 1)
        chosen = draws.choice(8, count, replace=False, p=odds / odds.sum())
        names.append([PRIMITIVES[column] for column in sorted(chosen)])
        rows.append((powers := np.exp(draws.normal(0, 0.5, count))) / powers.sum())
    return names, [row.tolist() for row in rows]


def test_each_stage_drops_what_the_official_code_drops_none_like_any_other():
    draws, dropped = np.random.default_rng(0), set()
    for count, most in ((8, 5), (5, 3)) * 50:
        names, rows = a_stage(draws, count)
        expected = [official_pruning(*edge, count - most) for edge in zip(names, rows, strict=True)]
        assert staged.narrowed({"normal": names}, {"normal": rows}, most)["normal"] == expected
        dropped |= {n for was, now in zip(names, expected, strict=True) for n in {*was} - {*now}}
    assert dropped == set(PRIMITIVES)


@pytest.mark.parametrize("most", [0, 2, 8])
def test_the_last_stage_keeps_the_edges_and_skips_that_the_official_code_keeps(most: int):
    draws, limited = np.random.default_rng(1), 0
    for _ in range(100):
        names, rows = a_stage(draws, 3)
        assert our_cell(names, rows, most) == official_cell(names, rows, most)
        limited += official_cell(names, rows, 8) != official_cell(names, rows, most)
    assert (limited > 20) == (most < 8)


def test_of_equals_ours_keeps_the_first_candidates_and_inputs_and_the_official_code_the_last():
    """DEVIATION: everywhere in this project ties go to the lower input and the earlier operation.

    Only alphas that have not moved are equal.
    """
    names, rows = [list(PRIMITIVES)] * 14, [[0.125] * 8] * 14
    assert official_pruning(names[0], rows[0], 3) == list(PRIMITIVES[3:])
    assert staged.narrowed({"n": names}, {"n": rows}, 5)["n"][0] == list(PRIMITIVES[:5])
    names, rows = [["none", "max_pool_3x3", "sep_conv_3x3"]] * 14, [[0.2, 0.4, 0.4]] * 14
    official, own = official_cell(names, rows, 2), our_cell(names, rows, 2)
    assert official[3] == [("sep_conv_3x3", 3), ("sep_conv_3x3", 4)]
    assert own[3] == [("max_pool_3x3", 0), ("max_pool_3x3", 1)]


def a_plan(**changes: object) -> list[staged.Stage]:
    settings = {"search.method": "p-darts", "search.epochs": 75, "space.layers": 5}
    settings |= {f"method.{name}": value for name, value in changes.items()}
    config = configs.override(SearchConfig(), settings)
    assert isinstance(config, SearchConfig)
    return staged.stages(config)


@pytest.mark.parametrize(
    ("source", "rates"),
    [("paper", (0.0, 0.4, 0.7)), ("README", (0.1, 0.4, 0.7)), ("code", (0.0, 0.0, 0.0))],
)
def test_skip_dropout_falls_as_in_the_official_code_for_each_published_start(
    source: str, rates: tuple[float, ...]
):
    """The paper's starts are the default; the README searches with others, the code has none."""
    given = {} if source == "paper" else {"stage_skip_dropout": ",".join(map(str, rates))}
    plan = a_plan(**given)
    assert [stage.dropout for stage in plan] == list(rates)
    for stage, rate in zip(plan, rates, strict=True):
        for e in range(25):
            falling = rate * (25 - e - 1) / 25 if e < 10 else rate * math.exp(-(e - 10) * 0.2)
            assert stage.skip_dropout(stage.first + e) == pytest.approx(falling, abs=1e-15)


class Stage:
    """A stage by the official rule, from the state in which the engine begins it.

    Args:
        task: the search.
        number: of the stage, from 0.
        rate: skip dropout at its beginning.
        more_layers: cells beyond those of the config.
    """

    def __init__(self, task: DoubleSearch, number: int, rate: float, more_layers: int) -> None:
        self.names, space = task.space.candidates(), task.config.space
        network = OfficialCells(
            self.names, nodes=space.nodes, channels=space.channels,
            layers=space.layers + more_layers, in_channels=3, classes=CLASSES,
        )  # fmt: skip
        self.theirs = Reference(task, network)
        self.theirs.losses = list(task.losses)
        self.first, self.rate, self.lengths = 2 * number + 1, rate, list[float]()

    def step(self, epoch: int, masks: list[tuple[float, torch.Tensor]]) -> None:
        """A step of the first epoch of two, in which alpha rests, or of the second."""
        e, weights = epoch - self.first, self.theirs.config.weights
        self.theirs.sgd.param_groups[0]["lr"] = (
            weights.lr_min + (weights.lr - weights.lr_min) * (1 + math.cos(math.pi * e / 2)) / 2
        )
        # The decay of 0.2 an epoch is that of stages of 25; in the first epoch with alpha it is 0.
        dropped = self.rate / 2 if e == 0 else self.rate
        assert all(keep == pytest.approx(1 - dropped) for keep, _ in masks)
        chance = self.theirs.network.chance
        chance.skip_keep = 1 - dropped
        chance.skip_masks.extend(mask for _, mask in masks)
        if e == 1:
            self.alpha_step(epoch)
        self.theirs.weight_step(batch("weights", epoch, 1))
        assert not chance.skip_masks

    def alpha_step(self, epoch: int) -> None:
        """Alpha's gradient is clipped too, over the entries of both cells."""
        self.theirs.zero()
        loss = self.theirs.loss(batch("alpha", epoch, 1))
        self.theirs.losses.append(loss.item())
        loss.backward()
        alphas = self.theirs.alphas.values()
        self.lengths.append(float(nn.utils.clip_grad_norm_(alphas, CLIP)))
        self.theirs.adam.step()

    def left(self, most: int) -> dict[str, list[list[str]]]:
        """The candidates of the next stage."""
        return {
            cell: [
                official_pruning(names, torch.softmax(row, -1).tolist(), len(names) - most)
                for names, row in zip(self.names[cell], self.theirs.alphas[cell], strict=True)
            ]
            for cell in CELLS
        }


def test_steps_through_all_stages(monkeypatch):
    """Each is deeper, narrower and begins anew; masks are on skips of stride 1 only."""
    rates, layers, candidates = (0.2, 0.4, 0.6), (0, 1, 2), (8, 5, 3)
    ours = search(
        search__method="p-darts", search__epochs=6, space__channels=2, method__stage_rest=0.5,
        method__stage_skip_dropout="0.2,0.4,0.6", method__stage_layers="0,1,2",
        method__alpha_clip=CLIP,
    )  # fmt: skip
    stage = Stage(ours, 0, rates[0], layers[0])
    with recorded_draws(monkeypatch) as drawn:
        for epoch in range(1, 7):
            number, begins = (epoch - 1) // 2, epoch in (3, 5)
            left = stage.left(candidates[number])
            ours.begin_epoch(epoch)
            if begins:
                assert ours.space.candidates() == left
                stage = Stage(ours, number, rates[number], layers[number])
            ours.step(epoch, 1)
            masks, drawn["masks"] = drawn["masks"], []
            stage.step(epoch, masks)
            found = differences(ours, stage.theirs)
            assert max(found.values()) < 1e-12, found
            assert all(length > CLIP for length in stage.lengths)
    assert len(ours.losses) == 9
