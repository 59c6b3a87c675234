"""A resumed search or training needs every part of its state: without any one it ends otherwise.

So the kills of `test_kills.py` are a proof: a checkpoint that lacked a part would be noticed.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
from engine_kit import TINY_TRAIN, fingerprint
from parallel_kit import images
from text_kit import text_search, text_training

from darts_engine.compute import device as devices
from darts_engine.run import events
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig, TrainConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.search.task import Search
from darts_engine.training.task import Train
from darts_engine.training.text_task import TrainText

State = dict[str, Any]
Place = tuple[int, int]
AnyTask = Search | Train | TrainText
SMALL = {"data.batch_size": 8, "engine.threads": 1, "engine.device": "cpu"}
# Edges are decided, and a rule looks for the end.
SEARCH = SMALL | {
    "search.method": "sgas", "search.epochs": 3, "search.alpha_warmup": 0.0,
    "space.channels": 2, "space.layers": 3, "space.nodes": 2, "method.stop": "skip-count",
}  # fmt: skip
# Steps have two passes and random masks, and an average of the weights is kept.
TRAINING = SMALL | {
    "network.network": "wrn-10-1", "network.dropout": 0.2, "train.epochs": 3,
    "weights.sam_rho": 0.1, "weights.ema": 0.9,
}  # fmt: skip
# A network of cells has an auxiliary head.
CELLS = SMALL | {key: value for key, value in TINY_TRAIN.items() if key != "data.cutout"}
CELLS |= {"train.epochs": 3, "network.auxiliary": True}


def _task(kind: str) -> AnyTask:
    if kind == "search on text":
        return text_search(search__order=2, text__output_dropout=0.3)
    if kind == "training on text":
        on_text = text_training(train__epochs=3, text__hidden_dropout=0.2)
        # The rule would need more epochs than these.
        on_text._mean.begin()
        return on_text
    if kind != "search":
        trained = configs.override(TrainConfig(), TRAINING if kind == "training" else CELLS)
        assert isinstance(trained, TrainConfig)
        return Train(trained, images(16), devices.choose(trained.engine))
    searched = configs.override(SearchConfig(), SEARCH)
    assert isinstance(searched, SearchConfig)
    return Search(searched, images(32), devices.choose(searched.engine))


def _walk(task: AnyTask, after: Place, last: Place) -> list[object]:
    """Go on from epoch and step to others. Returns: the figures of the epochs that end there."""
    figures: list[object] = []
    epoch, step = after
    if step:
        task.begin_epoch(epoch)
    while (epoch, step) < last:
        if step and step == task.steps_of(epoch):
            epoch, step = epoch + 1, 0
        if step == 0:
            task.begin_epoch(epoch)
        step += 1
        task.step(epoch, step)
        if step == task.steps_of(epoch):
            position = Position(epoch=epoch, step=step, global_step=0)
            for event in task.finish_epoch(position, Timing()):
                if isinstance(event, events.EpochFinished):
                    names = (
                        "train_loss",
                        "train_top1",
                        "auxiliary_loss",
                        "valid_loss",
                        "valid_top1",
                    )
                    figures.append([getattr(event, name) for name in names])
                elif isinstance(event, events.HealthMeasured):
                    figures.append(event.sharpness_gap)
    return figures


HALFWAY, END = (2, 1), (3, 2)


def _outcome(task: AnyTask, after: Place) -> str:
    figures = _walk(task, after, END)
    # As in `engine_kit.outcome`.
    memory = {key: part for key, part in task.state().items() if key != "architecture"}
    return fingerprint([memory, figures])


@functools.cache
def _story(kind: str) -> tuple[State, State, str]:
    """The state at the beginning, the state halfway, and the outcome of a run left alone."""
    task = _task(kind)
    fresh = copy.deepcopy(task.state())
    _walk(task, (1, 0), HALFWAY)
    halfway = copy.deepcopy(task.state())
    return fresh, halfway, _outcome(task, HALFWAY)


def _tensors(table: str, wanted: Callable[[str], bool]) -> Callable[[State, State], None]:
    """The tensors of a table with such names are those of the beginning."""

    def drop(state: State, fresh: State) -> None:
        names = [name for name in state[table] if wanted(name)]
        assert names
        state[table].update({name: fresh[table][name] for name in names})

    return drop


def _part(*path: str) -> Callable[[State, State], None]:
    """The part at that path is that of the beginning."""

    def drop(state: State, fresh: State) -> None:
        *outer, last = path
        for key in outer:
            state, fresh = state[key], fresh[key]
        assert fingerprint(state[last]) != fingerprint(fresh[last])
        state[last] = fresh[last]

    return drop


def _is_weight(name: str) -> bool:
    return name.endswith(("weight", "bias"))


PARTS: dict[tuple[str, str], Callable[[State, State], None]] = {
    ("search", "weights"): _tensors("supernet", _is_weight),
    ("search", "running statistics"): _tensors("supernet", lambda name: "running_" in name),
    ("search", "alphas"): _tensors("supernet", lambda name: name.startswith("alphas.")),
    ("search", "momentum"): _part("weight_optimizer", "state"),
    ("search", "Adam's moments"): _part("method", "architect", "state"),
    ("search", "decided edges"): _part("method", "greedy", "decided"),
    ("search", "the ending's genotypes"): _part("genotypes"),
    ("search", "the epoch's figures"): _part("epoch_meter"),
    ("training", "weights"): _tensors("network", _is_weight),
    ("training", "running statistics"): _tensors("network", lambda name: "running_" in name),
    ("training", "momentum"): _part("weight_optimizer", "state"),
    ("training", "the average of the weights"): _part("average"),
    ("training", "the epoch's figures"): _part("epoch_meter"),
    ("training", "the figures of the second pass"): _part("perturbed_meter"),
    ("training of cells", "the auxiliary head's figures"): _part("auxiliary_meter"),
    ("search on text", "weights"): _tensors("supernet", lambda name: name == "nodes"),
    ("search on text", "alphas"): _tensors("supernet", lambda name: name.startswith("alphas")),
    # Its running statistics move many times a token, and are new after a few steps.
    ("search on text", "alpha's Adam"): _part("method", "architect", "state"),
    ("search on text", "the hidden state of the weights' text"): _part("hidden", "weights"),
    ("search on text", "the hidden state of alpha's text"): _part("hidden", "alpha"),
    ("search on text", "the epoch's figures"): _part("epoch_meter"),
    ("search on text", "the best epoch"): _part("best"),
    ("training on text", "weights"): _tensors("network", lambda name: name == "nodes"),
    ("training on text", "the averages of the weights"): _part("average"),
    ("training on text", "the steps in the averages"): _part("averaged_steps"),
    ("training on text", "the hidden state"): _part("hidden"),
    ("training on text", "the epoch's figures"): _part("epoch_meter"),
    ("training on text", "the best epoch"): _part("best"),
}


KINDS = ["search", "training", "training of cells", "search on text", "training on text"]


@pytest.mark.parametrize("kind", KINDS)
def test_from_its_whole_state_it_ends_alike(kind: str) -> None:
    _, halfway, outcome = _story(kind)
    task = _task(kind)
    task.load_state(copy.deepcopy(halfway))
    assert _outcome(task, HALFWAY) == outcome


@pytest.mark.parametrize(("kind", "part"), PARTS)
def test_without_a_part_of_its_state_it_ends_otherwise(kind: str, part: str) -> None:
    fresh, halfway, outcome = _story(kind)
    state = copy.deepcopy(halfway)
    PARTS[kind, part](state, copy.deepcopy(fresh))
    task = _task(kind)
    task.load_state(state)
    assert _outcome(task, HALFWAY) != outcome


@pytest.mark.parametrize("kind", ["search", "training", "search on text", "training on text"])
@pytest.mark.parametrize("place", [(2, 0), (2, 2)])
def test_from_another_position_it_ends_otherwise(kind: str, place: Place) -> None:
    """A position also says which images and random numbers come next: streams have no state."""
    _, halfway, outcome = _story(kind)
    task = _task(kind)
    task.load_state(copy.deepcopy(halfway))
    assert _outcome(task, place) != outcome
