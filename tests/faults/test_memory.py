"""What a checkpoint must hold: leave any of it out and the run ends elsewhere."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from engine_kit import fingerprint, make_run  # noqa: E402

from darts_engine.data import dataset as datasets  # noqa: E402
from darts_engine.run import events  # noqa: E402
from darts_engine.runner.loop import Timing  # noqa: E402
from darts_engine.runner.position import Position  # noqa: E402
from darts_engine.search.task import Search  # noqa: E402
from darts_engine.training.task import Train  # noqa: E402

BEFORE, AFTER = 2, 2


@pytest.fixture
def fresh(runs: Path) -> Callable[[str], Search | Train]:
    def fresh(kind: str) -> Search | Train:
        config = make_run(runs, f"{kind}-{len(list(runs.iterdir()))}", kind).read_config()
        dataset = datasets.load(config.data.dataset, config.data.image_size)
        make: Any = Search if kind == "search" else Train
        task: Search | Train = make(config, dataset, torch.device("cpu"))
        task.begin_epoch(1)
        return task

    return fresh


def end(task: Search | Train) -> str:
    """Two more steps and the epoch's figures; everything that came of them."""
    for step in range(BEFORE + 1, BEFORE + AFTER + 1):
        task.step(1, step)
    position = Position(epoch=1, step=BEFORE + AFTER, global_step=BEFORE + AFTER)
    history = task.finish_epoch(position, Timing())
    figures = [
        (f.train_loss, f.train_top1, f.auxiliary_loss, f.valid_loss)
        for f in history
        if isinstance(f, events.EpochFinished)
    ]
    return fingerprint([task.state(), figures])


def forget(state: dict[str, Any], name: str) -> None:
    """Zero every tensor whose path holds the name."""

    def walk(value: Any, where: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                walk(part, f"{where}.{key}")
        elif isinstance(value, torch.Tensor) and name in where:
            value.zero_()

    walk(state, "")


PARTS = {
    "search": [
        "momentum_buffer",
        "exp_avg_sq",
        ".step",
        "epoch_meter",
        "running_mean",
    ],
    "train": [
        "momentum_buffer",
        "epoch_meter",
        "auxiliary_meter",
        "running_var",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["search", "train"])
def test_each_part_of_the_memory_matters(kind: str, fresh: Callable[[str], Search | Train]) -> None:
    torch.set_num_threads(1)
    task = fresh(kind)
    for step in range(1, BEFORE + 1):
        task.step(1, step)
    state = copy.deepcopy(task.state())
    expected = end(task)

    def resumed(forgotten: str = "") -> str:
        again, memory = fresh(kind), copy.deepcopy(state)
        if forgotten:
            forget(memory, forgotten)
        again.load_state(memory)
        return end(again)

    assert resumed() == expected
    for part in PARTS[kind]:
        assert resumed(part) != expected, f"nothing depends on {part}"
